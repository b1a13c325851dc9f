"""Everything that a verdict rests on, gathered at one moment, and what of it can be trusted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import TypeVar

from exporter.clock import Clock
from exporter.collect.snapshot import Samples, Snapshot
from exporter.collect.store import SnapshotStore
from exporter.comparison.calls import ClassRole
from exporter.comparison.class_verdict import ClassResult
from exporter.comparison.sums import Sums
from exporter.deployment.people import Note
from exporter.deployment.progress import DeploymentProgress
from exporter.deployment.sign_offs import SignOffs
from exporter.deployment.suite_results import SuiteRecord
from exporter.learning.counted import CountedHour
from exporter.redaction import redact
from exporter.run_state import State
from exporter.wording import one_line, series_name

SETTLE_SECONDS = 5.0
"""A value that was read so soon after a phase may have been asked for before it: a run may begin
before the phase is applied and end after it, and clocks differ."""

T = TypeVar("T")
Labels = tuple[str, ...]
Wanted = Mapping[str, tuple[str, ...]]
"""The accepted values of each label."""


@dataclass(frozen=True, slots=True)
class Before:
    """The baseline, as far as the verdict needs it. Times are Unix times."""

    gauges: Samples
    """The gauges that are remembered."""
    began_at: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class KeptTokens:
    """The tokens of change timestamps as they were after the deployment."""

    at: float
    """Unix time at which they were read."""
    tokens: Mapping[str, Mapping[Labels, str]]
    """By metric and labels."""
    accepted: str = ""
    """Who accepted them, and why, if that was not the deployment."""
    before: "KeptTokens | None" = None
    """Those from before the first migration; None if nobody had looked."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known at one moment: `now` is its Unix time, `ticks` its `time.monotonic()`."""

    now: float
    ticks: float
    snapshots: SnapshotStore
    deployed: DeploymentProgress
    before: Before | None = None
    """None without a baseline."""
    classes: Mapping[str, ClassResult] = field(default_factory=dict)
    """How each class compares since the deployment."""
    sign_offs: Mapping[str, SignOffs] = field(default_factory=dict)
    """All words about each thing that people judge."""
    suites: Mapping[str, SuiteRecord] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    deployed_by: str = ""
    matched: Mapping[ClassRole, Sums] = field(default_factory=dict)
    """Everything that was compared with the baseline so far; grows only."""
    owner_of: Callable[[str], str | None] = lambda _: None
    """Returns the phase that owns an object or a table, if any does."""
    counted: tuple[CountedHour, ...] = ()
    """What the metrics of rates counted in each hour, the earliest first."""
    clock: Clock = Clock()
    collected_seconds: float | None = None
    """Time of which a baseline has been collected; None unless it is being collected."""
    kept: KeptTokens | None = None
    """None until the schema of the deployment is kept."""
    not_begun: str = "the deployment has not begun"
    """What is said while no phase is applied, with what would show one."""


@dataclass(frozen=True, slots=True)
class TrustedSeries:
    """The series that can be trusted, and a line for each that cannot, which says why."""

    label_names: tuple[str, ...]
    series: dict[Labels, float]
    doubts: tuple[str, ...]
    is_complete: bool = False
    """Whether every query that feeds the metric has answered: what is not there is gone."""


def trusted_series(metric: str, wanted: Wanted, since: float, evidence: Evidence) -> TrustedSeries:
    """Return the series of a metric that match.

    Where `wanted` names every label, each of the series that it names has to be there; else there
    has to be one at least, and every query that feeds the metric must have answered, for it could
    hold more. Of several sources, those that nobody has configured are left out.

    Args:
        metric: its name.
        wanted: accepted values by label; a label that is not named may have any.
        since: Unix time; what was read before does not count.
        evidence: what is known.
    """
    known = evidence.snapshots.metrics.get(metric)
    if known is None:
        return TrustedSeries((), {}, (f"{metric}: no query feeds it",))
    series: dict[Labels, float] = {}
    unanswered = []
    asked = evidence.snapshots.of_metric(metric)
    configured = [each for each in asked if each.state is not State.UNCONFIGURED]
    for snapshot in configured or asked:
        reason = _distrust(snapshot, since, evidence.ticks)
        if reason:
            unanswered.append(f"query {snapshot.query} {reason}")
        else:
            samples = snapshot.fresh_samples(evidence.ticks).get(metric, {})
            series.update(matching(known.labels, samples, wanted))
    if wanted.keys() == set(known.labels):
        why = "; ".join(unanswered) or "there is no such series"
        doubts = [
            f"{series_name(metric, known.labels, labels)}: {why}"
            for labels in product(*(wanted[name] for name in known.labels))
            if labels not in series
        ]
    else:
        doubts = [f"{metric}: {each}" for each in unanswered]
        if not series and not doubts:
            doubts.append(f"{metric}: no series matches")
    return TrustedSeries(known.labels, series, tuple(doubts), is_complete=not unanswered)


def trusted_tokens(
    metric: str, wanted: Wanted, since: float, evidence: Evidence
) -> tuple[dict[Labels, str], list[str]]:
    """Return the tokens of a metric that match, and a line for each query without an answer.

    Args:
        metric: a change_timestamp.
        wanted: as for `trusted_series`.
        since: as for `trusted_series`.
        evidence: what is known.
    """
    tokens: dict[Labels, str] = {}
    doubts = []
    names = evidence.snapshots.metrics[metric].labels
    for snapshot in evidence.snapshots.of_metric(metric):
        if reason := _distrust(snapshot, since, evidence.ticks):
            doubts.append(f"{metric}: query {snapshot.query} {reason}")
        else:
            tokens.update(matching(names, snapshot.tokens.get(metric, {}), wanted))
    return tokens, doubts


def matching(
    label_names: tuple[str, ...], series: Mapping[Labels, T], wanted: Wanted
) -> dict[Labels, T]:
    """Return the series of a metric whose labels have accepted values."""
    return {
        labels: value
        for labels, value in series.items()
        if all(
            label in wanted.get(name, (label,))
            for name, label in zip(label_names, labels, strict=True)
        )
    }


def _distrust(snapshot: Snapshot, since: float, ticks: float) -> str | None:
    """Return why what a query said does not count, if it does not."""
    if snapshot.state is None:
        return "has not run yet"
    if not snapshot.state.is_success:
        detail = one_line(redact(snapshot.detail))
        return f"is {snapshot.state}" + (f" ({detail})" if detail else "")
    if ticks > snapshot.expires:
        return "has not answered for too long"
    if since and (snapshot.last_success_at or 0.0) < since + SETTLE_SECONDS:
        return "has not looked since the phase was applied"
    return None

"""The verdict, go, no-go or inconclusive, and everything that it rests on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from exporter.catalog import Deployment
from exporter.catalog.criteria import ALL, Tracked
from exporter.clock import Clock
from exporter.deployment.progress import DeploymentProgress
from exporter.deployment.records import Outcome, Record
from exporter.verdict.evidence import Before, Evidence, matching, trusted_series
from exporter.verdict.first_week import DayCheck, week
from exporter.verdict.results import CriterionResult, judge_by_hand, judge_criterion


class Verdict(StrEnum):
    """What to do with the deployment."""

    GO = "go"
    NO_GO = "no_go"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Blamed:
    """A phase to blame, and what it means to roll it back."""

    phase: str
    title: str
    risk: str
    advice: str


@dataclass(frozen=True, slots=True)
class Row:
    """A number before and after; None where it is not known. Times are in seconds."""

    title: str
    before: float | None
    after: float | None
    is_time: bool = False


@dataclass(frozen=True, slots=True)
class Assessment:
    """Everything that is known of the deployment at the Unix time `at`."""

    database: str
    title: str
    at: float
    deployed: DeploymentProgress
    before: Before | None
    criteria: tuple[CriterionResult, ...]
    sign_offs: tuple[CriterionResult, ...]
    week: tuple[DayCheck, ...]
    blamed: tuple[Blamed, ...]
    tracked: tuple[Row, ...]

    @property
    def verdict(self) -> Verdict:
        """Go if every criterion passes; no-go if one fails or a sign-off was refused.

        A sign-off that is still to be given does not count: people read the verdict to give it.
        """
        outcomes = [each.outcome for each in self.criteria]
        if Outcome.FAIL in [*outcomes, *(each.outcome for each in self.sign_offs)]:
            return Verdict.NO_GO
        if outcomes and all(outcome is Outcome.PASS for outcome in outcomes):
            return Verdict.GO
        return Verdict.INCONCLUSIVE

    def with_outcome(self, outcome: Outcome) -> list[CriterionResult]:
        """Return the criteria of that outcome; a sign-off that was refused is a fail."""
        refused = self.sign_offs if outcome is Outcome.FAIL else ()
        return [each for each in (*self.criteria, *refused) if each.outcome is outcome]


def assess(
    database: str,
    deployment: Deployment,
    records: Mapping[str, Record],
    evidence: Evidence,
    clock: Clock = Clock(),
) -> Assessment:
    """Judge the deployment by the evidence, and by nothing else.

    Args:
        database: the name of the database.
        deployment: by what it is judged.
        records: what the first week has recorded so far; see `first_week.new_records`.
        evidence: what is known.
        clock: with the length of a day.
    """
    criteria = {
        name: judge_criterion(name, criterion, evidence)
        for name, criterion in deployment.criteria.items()
    }
    sign_offs = tuple(
        CriterionResult(
            name,
            each.title,
            ALL,
            (judge_by_hand(name, ALL, evidence.sign_offs.get(name)),),
            is_manual=True,
        )
        for name, each in deployment.sign_offs.items()
    )
    return Assessment(
        database,
        deployment.title,
        evidence.now,
        evidence.deployed,
        evidence.before,
        tuple(criteria.values()),
        sign_offs,
        week(deployment, criteria, records, evidence, clock),
        _blamed(deployment, criteria),
        tuple(_row(tracked, evidence) for tracked in deployment.tracked),
    )


def _blamed(deployment: Deployment, criteria: Mapping[str, CriterionResult]) -> tuple[Blamed, ...]:
    """Return the phases to blame, the last one first: the order in which they are rolled back."""
    named = {
        phase
        for each in criteria.values()
        for finding in each.findings
        if finding.outcome is Outcome.FAIL
        for phase in finding.phases
    }
    return tuple(
        Blamed(name, phase.title, phase.rollback.risk, phase.rollback.advice)
        for name, phase in reversed(deployment.phases.items())
        if name in named
    )


def _row(tracked: Tracked, evidence: Evidence) -> Row:
    if tracked.class_name is not None:
        seen = evidence.classes.get(tracked.class_name)
        change = seen.whole.change if seen else None
        if change is None or not change.calls:
            return Row(tracked.title, None, None, is_time=True)
        # What today's calls would have taken before, so that another mix of calls is no change.
        before, after = change.expected_seconds / change.calls, change.seconds / change.calls
        return Row(tracked.title, before, after, is_time=True)
    metric = tracked.metric or ""
    now = trusted_series(metric, tracked.labels, 0.0, evidence)
    is_known = evidence.deployed.is_complete and not now.doubts
    remembered = evidence.before.gauges.get(metric, {}) if evidence.before else {}
    then = matching(now.label_names, remembered, tracked.labels)
    return Row(
        tracked.title,
        math.fsum(then.values()) if then else None,
        math.fsum(now.series.values()) if is_known else None,
    )

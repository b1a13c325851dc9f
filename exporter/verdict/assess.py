"""The stage of a deployment, its verdict, and everything that they rest on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from exporter.catalog import Deployment
from exporter.catalog.condition import ALL
from exporter.catalog.criteria import Criterion, Tracked
from exporter.clock import Clock
from exporter.deployment.people import Note
from exporter.deployment.progress import DeploymentProgress
from exporter.deployment.records import Outcome, Record
from exporter.deployment.sign_offs import SignOffs, signable
from exporter.verdict.by_hand import judge_by_hand
from exporter.verdict.criteria import CriterionResult, judge_criterion, worst
from exporter.verdict.evidence import Before, Evidence, matching, trusted_series
from exporter.verdict.plan import PlannedCheck, planned_checks


class Verdict(StrEnum):
    """What to do with the deployment."""

    GO = "go"
    NO_GO = "no_go"
    INCONCLUSIVE = "inconclusive"


class Stage(StrEnum):
    """Where the deployment stands: before it, the verdict on it, or rolled back."""

    COLLECTING = "collecting"
    """It has not begun, and it is not known yet whether it may."""
    READY = "ready"
    NOT_READY = "not_ready"
    GO = "go"
    NO_GO = "no_go"
    INCONCLUSIVE = "inconclusive"
    ROLLED_BACK = "rolled_back"


_STAGE_BEFORE = {
    Outcome.PASS: Stage.READY,
    Outcome.FAIL: Stage.NOT_READY,
    Outcome.INCONCLUSIVE: Stage.COLLECTING,
}


@dataclass(frozen=True, slots=True)
class Undoable:
    """A phase, and what it means to roll it back."""

    phase: str
    title: str
    risk: str
    advice: str
    impact: str = ""
    next_steps: tuple[str, ...] = ()


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
    ready: tuple[CriterionResult, ...]
    """What must hold before the first migration; empty while the deployment stays."""
    criteria: tuple[CriterionResult, ...]
    rollback: tuple[CriterionResult, ...]
    """What must hold of the phases that are rolled back; empty if none is."""
    sign_offs: tuple[CriterionResult, ...]
    plan: tuple[PlannedCheck, ...]
    phases: tuple[Undoable, ...]
    """All phases, the last one first: the order in which they are rolled back."""
    blamed: tuple[Undoable, ...]
    """Those to blame."""
    tracked: tuple[Row, ...]
    words: Mapping[str, SignOffs]
    """What people have said, by everything that they judge."""
    notes: tuple[Note, ...] = ()
    deployed_by: str = ""

    @property
    def readiness(self) -> Outcome:
        """Whether the deployment may begin, or begin again after a rollback."""
        return worst(each.outcome for each in self.ready)

    @property
    def stage(self) -> Stage:
        """Where the deployment stands."""
        if self.deployed.has_begun is False:
            return _STAGE_BEFORE[self.readiness]
        return Stage.ROLLED_BACK if self.deployed.rolled_back else Stage(self.verdict.value)

    @property
    def verdict(self) -> Verdict:
        """Go if every criterion passes; no-go if one fails or a sign-off was refused.

        A sign-off that is still to be given does not count: people read the verdict to give it.
        While a phase is rolled back, it is a no-go if what is left of the deployment fails, or the
        rollback does, and never a go.
        """
        outcomes = [each.outcome for each in self.criteria]
        others = [each.outcome for each in (*self.rollback, *self.sign_offs)]
        if Outcome.FAIL in [*outcomes, *others]:
            return Verdict.NO_GO
        is_go = bool(outcomes) and all(outcome is Outcome.PASS for outcome in outcomes)
        return Verdict.GO if is_go and not self.deployed.rolled_back else Verdict.INCONCLUSIVE

    def with_outcome(self, outcome: Outcome) -> list[CriterionResult]:
        """Return the criteria of that outcome; a sign-off that was refused is a fail."""
        refused = self.sign_offs if outcome is Outcome.FAIL else ()
        # What waits for a phase that is rolled back is not open: nobody can answer it.
        judged = self.criteria
        if outcome is Outcome.INCONCLUSIVE and self.deployed.rolled_back:
            judged = ()
        return [each for each in (*self.rollback, *judged, *refused) if each.outcome is outcome]


def assess(
    database: str,
    deployment: Deployment,
    records: Mapping[str, Sequence[Record]],
    evidence: Evidence,
    clock: Clock = Clock(),
) -> Assessment:
    """Judge the deployment by the evidence, and by nothing else.

    Args:
        database: the name of the database.
        deployment: by what it is judged.
        records: what the plan has recorded so far; see `plan.new_records`.
        evidence: what is known.
        clock: with the length of a day.
    """
    deployed = evidence.deployed
    criteria = _judged(deployment.criteria, evidence)
    is_before = deployed.has_begun is False or bool(deployed.rolled_back)
    ready = _judged(deployment.ready, replace(evidence, deployed=deployed.as_begun()))
    after = replace(evidence, deployed=deployed.since_rollbacks())
    undone = {
        n: each for n, each in deployment.rolled_back.items() if each.phase in deployed.rolled_back
    }
    phases = _undoable(deployment)
    return Assessment(
        database,
        deployment.title,
        evidence.now,
        deployed,
        evidence.before,
        tuple(ready.values()) if is_before else (),
        tuple(criteria.values()),
        tuple(_judged(undone, after).values()),
        _signed(deployment, evidence),
        planned_checks(deployment, criteria, records, evidence, clock),
        phases,
        tuple(each for each in phases if each.phase in _blamed(criteria) - {*deployed.rolled_back}),
        tuple(_row(tracked, evidence) for tracked in deployment.tracked),
        {name: evidence.sign_offs.get(name, ()) for name in signable(deployment)},
        evidence.notes,
        evidence.deployed_by,
    )


def _judged(criteria: Mapping[str, Criterion], evidence: Evidence) -> dict[str, CriterionResult]:
    return {name: judge_criterion(name, each, evidence) for name, each in criteria.items()}


def _undoable(deployment: Deployment) -> tuple[Undoable, ...]:
    """Return all phases, the last one first."""
    return tuple(
        Undoable(
            name,
            phase.title,
            phase.rollback.risk,
            phase.rollback.advice,
            phase.rollback.impact or "",
            phase.rollback.next_steps,
        )
        for name, phase in reversed(deployment.phases.items())
    )


def _signed(deployment: Deployment, evidence: Evidence) -> tuple[CriterionResult, ...]:
    """Return what people have said beside the criteria."""
    return tuple(
        CriterionResult(
            name,
            each.title,
            ALL,
            (judge_by_hand(name, ALL, evidence.sign_offs.get(name, ())),),
            is_manual=True,
        )
        for name, each in deployment.sign_offs.items()
    )


def _blamed(criteria: Mapping[str, CriterionResult]) -> set[str]:
    return {
        phase
        for each in criteria.values()
        for finding in each.findings
        if finding.outcome is Outcome.FAIL
        for phase in finding.phases
    }


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
    deployed = evidence.deployed
    value = None if now.doubts else math.fsum(now.series.values())
    if deployed.has_begun is False:
        return Row(tracked.title, value, None)
    remembered = evidence.before.gauges.get(metric, {}) if evidence.before else {}
    then = matching(now.label_names, remembered, tracked.labels)
    return Row(
        tracked.title,
        math.fsum(then.values()) if then else None,
        value if deployed.is_complete or deployed.rolled_back else None,
    )

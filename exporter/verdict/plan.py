"""The plan: each check is answered once, when it is due, and its record is kept."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from exporter.catalog import Deployment
from exporter.catalog.criteria import Check, Step
from exporter.clock import Clock
from exporter.deployment.progress import DeploymentProgress
from exporter.deployment.records import Outcome, Record
from exporter.verdict.condition_result import ConditionResult
from exporter.verdict.criteria import CriterionResult, is_left_to_people, judge_check, outcome_of
from exporter.verdict.evidence import Evidence
from exporter.wording import listed, moment

_HOUR_SECONDS = 3600.0
_DAY_SECONDS = 86400.0


@dataclass(frozen=True, slots=True)
class PlannedCheck:
    """A check, and its answer; `outcome` is None until there is one."""

    after: float
    """Seconds from the end of the deployment until it is due, by a clock of full hours."""
    step_title: str
    name: str
    title: str
    outcome: Outcome | None = None
    evidence: str = ""
    at: float | None = None
    is_manual: bool = False
    note: str = ""
    is_due: bool = False

    @property
    def day(self) -> int:
        """The day on which it is due; the first hour is of day 1."""
        return math.ceil(self.after / _DAY_SECONDS)

    @property
    def when(self) -> str:
        """When it is due, in words.

        >>> [PlannedCheck(after, "", "", "").when for after in (3600.0, 86400.0, 1209600.0)]
        ['Hour 1', 'Day 1', 'Day 14']
        """
        if self.after < _DAY_SECONDS:
            return f"Hour {math.ceil(self.after / _HOUR_SECONDS)}"
        return f"Day {self.day}"


class _Span(NamedTuple):
    begins: float
    ends: float


def planned_checks(
    deployment: Deployment,
    criteria: Mapping[str, CriterionResult],
    records: Mapping[str, Sequence[Record]],
    evidence: Evidence,
    clock: Clock = Clock(),
) -> tuple[PlannedCheck, ...]:
    """Return every check of the plan with its answer, in the order in which they are due.

    A check is due once its time after the deployment has passed, and the warm-up. Then it waits for
    its first answer, pass or fail, and is inconclusive if a day goes by without one. What people
    judge may also be signed later.

    Args:
        deployment: with the plan.
        criteria: their results, by name.
        records: the earlier answers. A record from before a check was due is of an earlier
            deployment, and does not count.
        evidence: what is known.
        clock: with the length of an hour.
    """
    return tuple(
        _answer(
            PlannedCheck(
                step.after,
                step.title,
                name,
                check.title,
                is_manual=is_left_to_people(check, evidence),
                note=check.note or "",
            ),
            check,
            _span(step, evidence.deployed, clock),
            criteria,
            records.get(name, ()),
            evidence,
        )
        for step in sorted(deployment.plan, key=lambda step: step.after)
        for name, check in step.checks.items()
    )


def new_records(
    checks: Iterable[PlannedCheck], records: Mapping[str, Sequence[Record]]
) -> list[Record]:
    """Return the answers among `checks` that are not recorded yet; a sign-off is its own record."""
    answered = [
        Record(outcome=check.outcome, evidence=check.evidence, at=check.at, check=check.name)
        for check in checks
        if check.outcome and check.at is not None and not check.is_manual
    ]
    return [
        record
        for record in answered
        if all(record.at != known.at for known in records.get(record.check, ()))
    ]


def _span(step: Step, deployed: DeploymentProgress, clock: Clock) -> _Span | None:
    """Return from when on a check is due, and how long it waits for an answer."""
    if not deployed.is_complete or deployed.ended_at is None:
        return None
    begins = max(deployed.ended_at + clock.scaled(step.after), deployed.settled_at or 0.0)
    return _Span(begins, begins + clock.day_seconds)


def _deciding(findings: tuple[ConditionResult, ...], outcome: Outcome) -> str:
    """Return the evidence that decided."""
    return listed([each.evidence for each in findings if each.outcome is outcome])


def _answer(
    pending: PlannedCheck,
    check: Check,
    span: _Span | None,
    criteria: Mapping[str, CriterionResult],
    records: Sequence[Record],
    evidence: Evidence,
) -> PlannedCheck:
    is_due = bool(span and evidence.now >= span.begins)
    pending = replace(pending, is_due=is_due)
    # The word of a person is its own record: a later one may still reject what was answered.
    signed = evidence.sign_offs.get(pending.name, ()) if check.is_signed else ()
    record = next((each for each in records if span and each.at >= span.begins), None)
    if record and not signed:
        return replace(pending, outcome=record.outcome, evidence=record.evidence, at=record.at)
    if not signed and not is_due:
        return replace(pending, evidence=_not_due(pending, span, evidence.deployed))
    findings = judge_check(pending.name, check, criteria, evidence)
    outcome = outcome_of(findings)
    text = _deciding(findings, outcome)
    if signed:
        return replace(pending, outcome=outcome, evidence=text, at=signed[-1].at, is_manual=True)
    if span and evidence.now >= span.ends:
        text = f"a day went by without an answer; then: {text}"
        return replace(pending, outcome=Outcome.INCONCLUSIVE, evidence=text, at=evidence.now)
    if outcome is Outcome.INCONCLUSIVE:
        return replace(pending, evidence=text)
    return replace(pending, outcome=outcome, evidence=text, at=evidence.now)


def _not_due(check: PlannedCheck, span: _Span | None, deployed: DeploymentProgress) -> str:
    if span:
        return f"due {moment(span.begins)}"
    if deployed.rolled_back:
        return f"not due: {' and '.join(deployed.rolled_back)} rolled back"
    if deployed.is_complete:
        return "it is not known when the deployment ended: loom-exporter deploy mark --at TIME"
    return f"due in {check.when.lower()} after the deployment"

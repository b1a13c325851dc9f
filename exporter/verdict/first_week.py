"""The first week: each check is answered once, on its day, and its record is kept."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from exporter.catalog import Deployment
from exporter.catalog.criteria import Check
from exporter.clock import Clock
from exporter.deployment.progress import DeploymentProgress
from exporter.deployment.records import Outcome, Record
from exporter.verdict.conditions import ConditionResult
from exporter.verdict.evidence import Evidence
from exporter.verdict.results import CriterionResult, judge_check, worst
from exporter.wording import listed, moment


@dataclass(frozen=True, slots=True)
class DayCheck:
    """A check, and its answer; `outcome` is None until there is one."""

    day: int
    day_title: str
    name: str
    title: str
    outcome: Outcome | None = None
    evidence: str = ""
    at: float | None = None
    is_manual: bool = False
    note: str = ""


class _Span(NamedTuple):
    begins: float
    ends: float


def week(
    deployment: Deployment,
    criteria: Mapping[str, CriterionResult],
    records: Mapping[str, Record],
    evidence: Evidence,
    clock: Clock = Clock(),
) -> tuple[DayCheck, ...]:
    """Return every check of the first week with its answer, in the order of the days.

    Day N begins N - 1 days after the deployment, the first one after the warm-up. Then a check
    waits for its first answer, pass or fail, and is inconclusive if the day ends without one. What
    people judge may also be signed later.

    Args:
        deployment: its first week is the plan.
        criteria: their results, by name.
        records: the earlier answers. A record from before the day of its check is of an earlier
            deployment, and does not count.
        evidence: what is known.
        clock: with the length of a day.
    """
    return tuple(
        _answer(
            DayCheck(
                number, day.title, name, check.title, is_manual=check.manual, note=check.note or ""
            ),
            check,
            _span(number, evidence.deployed, clock),
            criteria,
            records.get(name),
            evidence,
        )
        for number, day in sorted(deployment.first_week.items())
        for name, check in day.checks.items()
    )


def new_records(checks: Iterable[DayCheck], records: Mapping[str, Record]) -> dict[str, Record]:
    """Return the answers among `checks` that are not recorded yet; a sign-off is its own record."""
    answered = {
        check.name: Record(outcome=check.outcome, evidence=check.evidence, at=check.at)
        for check in checks
        if check.outcome and check.at is not None and not check.is_manual
    }
    return {name: record for name, record in answered.items() if records.get(name) != record}


def _span(day: int, deployed: DeploymentProgress, clock: Clock) -> _Span | None:
    """Return when a day begins and ends; the first one begins after the warm-up."""
    if not deployed.is_complete or deployed.ended_at is None:
        return None
    day_seconds = clock.day_seconds
    begins = max(deployed.ended_at + (day - 1) * day_seconds, deployed.settled_at or 0.0)
    return _Span(begins, max(deployed.ended_at + day * day_seconds, begins))


def _deciding(findings: tuple[ConditionResult, ...], outcome: Outcome) -> str:
    """Return the evidence that decided."""
    return listed([each.evidence for each in findings if each.outcome is outcome])


def _answer(
    pending: DayCheck,
    check: Check,
    span: _Span | None,
    criteria: Mapping[str, CriterionResult],
    record: Record | None,
    evidence: Evidence,
) -> DayCheck:
    if span and record and record.at >= span.begins:
        return replace(pending, outcome=record.outcome, evidence=record.evidence, at=record.at)
    sign_off = evidence.sign_offs.get(pending.name) if check.manual else None
    if not sign_off and not (span and evidence.now >= span.begins):
        return replace(pending, evidence=_not_due(pending.day, span, evidence.deployed))
    findings = judge_check(pending.name, check, criteria, evidence)
    outcome = worst(each.outcome for each in findings)
    text = _deciding(findings, outcome)
    if sign_off:
        return replace(pending, outcome=outcome, evidence=text, at=sign_off.at)
    if span and evidence.now >= span.ends:
        text = f"the day ended without an answer; then: {text}"
        return replace(pending, outcome=Outcome.INCONCLUSIVE, evidence=text, at=evidence.now)
    if outcome is Outcome.INCONCLUSIVE:
        return replace(pending, evidence=text)
    return replace(pending, outcome=outcome, evidence=text, at=evidence.now)


def _not_due(day: int, span: _Span | None, deployed: DeploymentProgress) -> str:
    if span:
        return f"due {moment(span.begins)}"
    if deployed.is_complete:
        return "it is not known when the deployment ended: loom-exporter deploy mark --at TIME"
    return f"due on day {day} after the deployment"

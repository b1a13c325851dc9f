"""Judges criteria, checks and sign-offs, condition by condition."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from exporter.catalog.condition import ALL, Condition
from exporter.catalog.criteria import Check, Criterion
from exporter.deployment.records import Outcome
from exporter.run_state import State
from exporter.verdict.by_hand import judge_by_hand
from exporter.verdict.condition_result import ConditionResult
from exporter.verdict.conditions import applied_at, judge_condition
from exporter.verdict.evidence import Evidence
from exporter.verdict.suites import NOTHING_RECORDED


@dataclass(frozen=True, slots=True)
class CriterionResult:
    """A criterion or sign-off, and the result of each of its conditions."""

    name: str
    title: str
    phase: str
    findings: tuple[ConditionResult, ...]
    is_manual: bool = False
    """Whether nothing but the word of a person can settle it."""
    note: str = ""

    @property
    def outcome(self) -> Outcome:
        """The worst of the findings; see `outcome_of`."""
        return outcome_of(self.findings)

    def worst_first(self) -> list[ConditionResult]:
        """Return the findings: failed ones, then inconclusive ones, then those that hold."""
        order = (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS)
        return sorted(self.findings, key=lambda finding: order.index(finding.outcome))


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return fail if anything fails, else inconclusive if anything is, or if there is nothing."""
    found = set(outcomes)
    for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS):
        if outcome in found:
            return outcome
    return Outcome.INCONCLUSIVE


def outcome_of(findings: Iterable[ConditionResult]) -> Outcome:
    """Return the worst outcome, without findings that are not known and not needed."""
    return worst(each.outcome for each in findings if not _holds_nothing_up(each))


def _holds_nothing_up(found: ConditionResult) -> bool:
    return found.outcome is Outcome.INCONCLUSIVE and not found.is_needed


def judge_criterion(name: str, criterion: Criterion, evidence: Evidence) -> CriterionResult:
    """Judge a criterion by its conditions, or by what a person has said.

    With `or_manual`, a sign-off takes the place of the conditions whose source is not configured.
    Where all sources are, none is needed; one that is given counts all the same.
    """
    signed = evidence.sign_offs.get(name, ())
    conditions = [
        condition
        for condition in criterion.conditions
        if not criterion.or_manual or _is_configured(condition, evidence)
    ]
    findings = [_finding(each, criterion.phase, evidence) for each in conditions]
    is_open = any(
        each.outcome is Outcome.INCONCLUSIVE and not _holds_nothing_up(each) for each in findings
    )
    is_manual = criterion.manual or len(conditions) < len(criterion.conditions)
    said = judge_by_hand(name, criterion.phase, signed, applied_at(criterion.phase, evidence))
    if is_manual or (criterion.or_manual and said.outcome is not Outcome.INCONCLUSIVE):
        findings.append(said)
    return CriterionResult(
        name,
        criterion.title,
        criterion.phase,
        tuple(findings),
        is_manual and not is_open,
        criterion.note or "",
    )


def _finding(condition: Condition, phase: str, evidence: Evidence) -> ConditionResult:
    found = replace(judge_condition(condition, phase, evidence), is_needed=condition.needed)
    if _holds_nothing_up(found):
        return replace(found, evidence=f"{found.evidence}; the verdict does not wait for it")
    return found


def _is_configured(condition: Condition, evidence: Evidence) -> bool:
    """Return whether anything can answer: a source in the settings, or a result of the suite."""
    if condition.suite is not None:
        return bool(evidence.suites.get(condition.suite, NOTHING_RECORDED).results)
    asked = evidence.snapshots.of_metric(condition.metric) if condition.metric else ()
    return not asked or any(each.state is not State.UNCONFIGURED for each in asked)


def is_left_to_people(check: Check, evidence: Evidence) -> bool:
    """Return whether a person answers a check: always, or because a source is not configured."""
    if check.or_manual:
        return not all(_is_configured(condition, evidence) for condition in check.conditions)
    return check.manual


def judge_check(
    name: str, check: Check, criteria: Mapping[str, CriterionResult], evidence: Evidence
) -> tuple[ConditionResult, ...]:
    """Judge a check of a day; `criteria` are judged already."""
    signed = evidence.sign_offs.get(name, ())
    if is_left_to_people(check, evidence):
        return (judge_by_hand(name, ALL, signed),)
    found = [judge_condition(condition, ALL, evidence) for condition in check.conditions]
    if check.or_manual and signed:
        found.append(judge_by_hand(name, ALL, signed))
    for each in check.criteria:
        found.extend(criteria[each].findings)
    return tuple(found)

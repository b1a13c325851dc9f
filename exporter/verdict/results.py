"""A criterion, a check or a sign-off with what became of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from exporter.catalog.criteria import ALL, Check, Condition, Criterion
from exporter.deployment.sign_offs import SignOff
from exporter.run_state import State
from exporter.verdict.conditions import ConditionResult, judge_condition
from exporter.verdict.evidence import Evidence
from exporter.verdict.outcome import Outcome
from exporter.wording import moment


@dataclass(frozen=True, slots=True)
class CriterionResult:
    """What was judged, and a finding for each thing that had to hold."""

    name: str
    title: str
    phase: str
    findings: tuple[ConditionResult, ...]
    is_manual: bool = False
    note: str = ""

    @property
    def outcome(self) -> Outcome:
        """The worst of the findings."""
        return worst(finding.outcome for finding in self.findings)

    def worst_first(self) -> list[ConditionResult]:
        """Return the findings, the failed ones first and those that hold last."""
        order = (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS)
        return sorted(self.findings, key=lambda finding: order.index(finding.outcome))


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return fail if anything fails, else inconclusive if anything is, or if there is nothing."""
    found = set(outcomes)
    for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS):
        if outcome in found:
            return outcome
    return Outcome.INCONCLUSIVE


def judge_criterion(name: str, criterion: Criterion, evidence: Evidence) -> CriterionResult:
    """Judge a criterion on what is known, or by what a person has said.

    With `or_manual`, the word of a person takes the place of the conditions whose source is not
    configured; where all are, nobody needs to speak, but whoever does is heard.
    """
    sign_off = evidence.sign_offs.get(name)
    configured = [
        condition
        for condition in criterion.conditions
        if not criterion.or_manual or _is_configured(condition, evidence)
    ]
    findings = [judge_condition(each, criterion.phase, evidence) for each in configured]
    is_for_people = len(configured) < len(criterion.conditions) or criterion.manual
    if is_for_people or (criterion.or_manual and sign_off):
        findings.append(judge_by_hand(name, criterion.phase, sign_off))
    return CriterionResult(
        name,
        criterion.title,
        criterion.phase,
        tuple(findings),
        is_for_people,
        criterion.note or "",
    )


def _is_configured(condition: Condition, evidence: Evidence) -> bool:
    """Return whether anything can answer: a source in the settings, or a suite that is recorded."""
    if condition.suite is not None:
        return bool(evidence.suites[condition.suite].results)
    asked = evidence.board.feeders(condition.metric) if condition.metric else ()
    return not asked or any(each.state is not State.UNCONFIGURED for each in asked)


def judge_check(
    name: str, check: Check, criteria: Mapping[str, CriterionResult], evidence: Evidence
) -> tuple[ConditionResult, ...]:
    """Judge a check of a day; `criteria` are judged already."""
    if check.manual:
        return (judge_by_hand(name, ALL, evidence.sign_offs.get(name)),)
    found = [judge_condition(condition, ALL, evidence) for condition in check.conditions]
    for each in check.criteria:
        found.extend(criteria[each].findings)
    return tuple(found)


def judge_by_hand(name: str, phase: str, sign_off: SignOff | None) -> ConditionResult:
    """Return what a person has said, or that nobody has."""
    if sign_off is None:
        return ConditionResult(
            Outcome.INCONCLUSIVE, f"not signed yet: loom-exporter sign-off {name} --by NAME"
        )
    said = "approved" if sign_off.approved else "rejected"
    text = f"{said} by {sign_off.by}, {moment(sign_off.at)}"
    if sign_off.note:
        text += f": {sign_off.note}"
    blamed = () if phase == ALL else (phase,)
    return ConditionResult(Outcome.PASS if sign_off.approved else Outcome.FAIL, text, blamed)

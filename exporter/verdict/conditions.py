"""Judges one condition: it holds, it does not, or it is not known."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from exporter.catalog.criteria import ALL, BASELINE, Condition
from exporter.deployment.records import Outcome
from exporter.verdict.evidence import Evidence, Labels, TrustedSeries, matching, trusted_series
from exporter.verdict.suites import NOTHING_RECORDED, judge_suite
from exporter.wording import age, listed, moment, number, selector, series_name, share


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """The outcome of one condition, and the line that says why."""

    outcome: Outcome
    evidence: str
    phases: tuple[str, ...] = ()
    """The phases to blame if it fails."""
    is_signed: bool = False
    """Whether it is the word of a person, or waits for one."""


class _Bound(NamedTuple):
    """The limits of a value, and how to say them."""

    least: float
    most: float
    text: str

    def holds(self, value: float) -> bool:
        return self.least <= value <= self.most

    def miss(self, value: float) -> float:
        """Return by how much a value is outside."""
        return max(self.least - value, value - self.most)


class _Seen(NamedTuple):
    """The value of a series, its limits, and the series with its value as text."""

    labels: Labels
    value: float
    bound: _Bound
    text: str


def judge_condition(condition: Condition, phase: str, evidence: Evidence) -> ConditionResult:
    """Judge a condition.

    Without data it is neither pass nor fail but inconclusive: before its phase is applied, with a
    value that was read before that, without an answer of the query, and without a series.

    Args:
        condition: what must hold.
        phase: of the criterion; one that the condition names itself comes first.
        evidence: what is known.
    """
    phase = condition.phase or phase
    waiting = _waits_for(phase, evidence)
    if condition.class_name is not None:
        outcome, text = _judge_class(condition.class_name, waiting, evidence)
        return ConditionResult(outcome, f"class {condition.class_name}: {text}", _blamed(phase))
    if waiting:
        about = condition.metric or f"suite {condition.suite}"
        return ConditionResult(Outcome.INCONCLUSIVE, f"{about}: {waiting}")
    if condition.suite is not None:
        record = evidence.suites.get(condition.suite, NOTHING_RECORDED)
        outcome, text = judge_suite(condition, record, _applied_at(ALL, evidence))
        return ConditionResult(outcome, f"suite {condition.suite}: {text}", _blamed(phase))
    return _judge_metric(condition, phase, evidence)


def _waits_for(phase: str, evidence: Evidence) -> str | None:
    """Return what has to happen before the phase can be judged, if anything."""
    deployed = evidence.deployed
    if phase != ALL:
        seen = deployed.phases.get(phase)
        if seen is None or seen.is_applied is None:
            return f"it is not known whether phase {phase} is applied"
        return None if seen.is_applied else f"phase {phase} is not applied"
    if deployed.is_complete:
        return None
    if not deployed.has_begun:
        if deployed.has_begun is None:
            return "it is not known whether the deployment has begun"
        return "the deployment has not begun"
    # A deployment that was begun and left unfinished is judged as it is, after the warm-up.
    return "the deployment is under way" if deployed.is_warming_up(evidence.now) else None


def _applied_at(phase: str, evidence: Evidence) -> float:
    """Return when the phase was applied, as a Unix time; 0 if that was before the first look."""
    phases = evidence.deployed.phases
    concerned = phases.values() if phase == ALL else [phases[phase]]
    return max((seen.at for seen in concerned if seen.at is not None), default=0.0)


def _blamed(phase: str) -> tuple[str, ...]:
    return () if phase == ALL else (phase,)


def _judge_class(name: str, waiting: str | None, evidence: Evidence) -> tuple[Outcome, str]:
    seen = evidence.classes.get(name)
    if waiting:
        doubt = waiting
    elif evidence.before is None:
        doubt = "there is no baseline"
    elif evidence.deployed.is_warming_up(evidence.now):
        doubt = "the database is warming up"
    elif seen is None:
        doubt = "its calls have not been counted lately"
    else:
        return seen.outcome, f"{seen.reason} ({seen.facts})"
    return Outcome.INCONCLUSIVE, doubt


def _judge_metric(condition: Condition, phase: str, evidence: Evidence) -> ConditionResult:
    metric = condition.metric or ""
    since = _applied_at(phase, evidence)
    found = trusted_series(metric, condition.labels, since, evidence)
    if condition.sum:
        if found.doubts:
            return ConditionResult(Outcome.INCONCLUSIVE, listed(found.doubts))
        metric = f"the sum of {selector(metric, condition.labels)}"
        found = TrustedSeries((), {(): math.fsum(found.series.values())}, ())
    doubts = [*found.doubts, *_gone(condition, found, evidence)]
    seen: list[_Seen] = []
    missed: list[_Seen] = []
    for labels, value in found.series.items():
        name = series_name(metric, found.label_names, labels)
        bound = _bound(condition, labels, since, evidence)
        if isinstance(bound, str):
            doubts.append(f"{name}: {bound}")
            continue
        each = _Seen(labels, value, bound, f"{name} is {_told(condition, value, evidence.now)}")
        (seen if bound.holds(value) else missed).append(each)
    missed.sort(key=lambda each: (-each.bound.miss(each.value), each.labels))
    if missed and condition.newer_than is None:
        text = listed([f"{each.text}, expected {each.bound.text}" for each in missed])
        return ConditionResult(
            Outcome.FAIL, text, _blamed_by_series(phase, found, missed, evidence)
        )
    doubts.extend(f"{each.text}, too old to prove anything" for each in missed)
    if doubts:
        return ConditionResult(Outcome.INCONCLUSIVE, listed(doubts))
    return ConditionResult(Outcome.PASS, _all_hold(condition, metric, seen))


def _told(condition: Condition, value: float, now: float) -> str:
    if condition.newer_than is None:
        return number(value)
    return f"{moment(value)}, {age(now - value)} ago"


def _all_hold(condition: Condition, metric: str, seen: list[_Seen]) -> str:
    if len(seen) == 1 or condition.newer_than is not None:
        return listed([each.text for each in seen])
    least, most = min(each.value for each in seen), max(each.value for each in seen)
    values = number(least) if least == most else f"between {number(least)} and {number(most)}"
    return f"{selector(metric, condition.labels)} is {values} in all {len(seen)} series"


def _blamed_by_series(
    phase: str, found: TrustedSeries, missed: list[_Seen], evidence: Evidence
) -> tuple[str, ...]:
    """Return the phase or, for all phases, those that the failing series name."""
    if phase != ALL or "phase" not in found.label_names:
        return _blamed(phase)
    index = found.label_names.index("phase")
    named = {each.labels[index] for each in missed}
    return tuple(each for each in evidence.deployed.phases if each in named)


def _bound(condition: Condition, labels: Labels, since: float, evidence: Evidence) -> _Bound | str:
    """Return the limits of a series, or why they are not known."""
    kind, against = condition.comparison
    if kind == "newer_than":
        return _Bound(evidence.now - float(against), math.inf, "")
    if not isinstance(against, str):
        limit, text = against, number(against)
    else:
        reference = (
            _value_before(condition, labels, evidence)
            if against == BASELINE
            else _value_of(against, since, evidence)
        )
        if isinstance(reference, str):
            return reference
        allowance = abs(reference) * condition.by
        limit = reference + (allowance if kind == "not_above" else -allowance)
        text = f"{number(reference)} ({'before' if against == BASELINE else against})"
        if condition.by:
            text += f", give or take {share(condition.by)}"
    if kind in ("at_least", "not_below"):
        return _Bound(limit, math.inf, f"at least {text}")
    if kind in ("at_most", "not_above"):
        return _Bound(-math.inf, limit, f"at most {text}")
    return _Bound(limit, limit, text)


def _value_before(condition: Condition, labels: Labels, evidence: Evidence) -> float | str:
    if evidence.before is None:
        return "there is no baseline"
    series = _series_before(condition, evidence)
    if condition.sum and series:
        return math.fsum(series.values())
    return series.get(labels, "the baseline does not have it")


def _value_of(metric: str, since: float, evidence: Evidence) -> float | str:
    found = trusted_series(metric, {}, since, evidence)
    return found.series.get((), "; ".join(found.doubts))


def _gone(condition: Condition, found: TrustedSeries, evidence: Evidence) -> list[str]:
    """Return a line for each series of the baseline that is missing now, where that is compared."""
    if condition.comparison.against != BASELINE or condition.sum or found.doubts:
        return []
    return [
        f"{series_name(condition.metric or '', found.label_names, labels)} was {number(value)} "
        "before and is gone"
        for labels, value in _series_before(condition, evidence).items()
        if labels not in found.series
    ]


def _series_before(condition: Condition, evidence: Evidence) -> dict[Labels, float]:
    metric = condition.metric or ""
    if evidence.before is None:
        return {}
    names = evidence.snapshots.metrics[metric].labels
    return matching(names, evidence.before.gauges.get(metric, {}), condition.labels)

"""Judges one condition: pass, fail, or inconclusive."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import NamedTuple

from exporter.catalog.condition import ALL, BASELINE, Condition
from exporter.deployment.progress import PhaseProgress
from exporter.deployment.records import Outcome
from exporter.verdict.bounds import Bound, bound_of, series_before, value_before
from exporter.verdict.by_hand import judge_by_hand
from exporter.verdict.condition_result import ConditionResult
from exporter.verdict.drift import judge_unchanged
from exporter.verdict.evidence import Evidence, Labels, TrustedSeries, trusted_series
from exporter.verdict.rates import judge_rate
from exporter.verdict.suites import NOTHING_RECORDED, judge_suite
from exporter.wording import age, listed, moment, number, selector, series_name

_TABLE = "table"
"""The label that names the table of what a series is about."""


class _Seen(NamedTuple):
    """The value of a series, its limits, and the series with its value as text."""

    labels: Labels
    value: float
    bound: Bound
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
        about = condition.metric or condition.title or _subject(condition)
        return ConditionResult(Outcome.INCONCLUSIVE, f"{about}: {waiting}")
    if condition.sign_off is not None:
        signed = evidence.sign_offs.get(condition.sign_off, ())
        return judge_by_hand(condition.sign_off, phase, signed)
    if condition.baseline_covers is not None:
        outcome, text = _judge_baseline(condition.baseline_covers, evidence)
        return ConditionResult(outcome, f"baseline: {text}")
    if condition.suite is not None:
        record = evidence.suites.get(condition.suite, NOTHING_RECORDED)
        outcome, text = judge_suite(condition, record, applied_at(ALL, evidence))
        return ConditionResult(outcome, f"suite {condition.suite}: {text}", _blamed(phase))
    if condition.rate:
        outcome, text = judge_rate(condition.rate, condition.title or "events", evidence)
        shown = selector(condition.rate.of.metric, condition.rate.of.labels)
        return ConditionResult(outcome, text, _blamed(phase), shown)
    if condition.unchanged_since:
        outcome, text, objects = judge_unchanged(condition, applied_at(phase, evidence), evidence)
        owners = {evidence.owner_of(name) for name in objects}
        phases = tuple(each for each in evidence.deployed.phases if each in owners)
        return _result(condition, outcome, [text], phases or _blamed(phase))
    return _judge_metric(condition, phase, evidence)


def _subject(condition: Condition) -> str:
    return f"suite {condition.suite}" if condition.suite else f"sign-off {condition.sign_off}"


def _judge_baseline(least_seconds: float, evidence: Evidence) -> tuple[Outcome, str]:
    """Judge how much time the baseline is of: one that is kept, or the one that is collected."""
    before, wanted = evidence.before, age(least_seconds)
    covered = before.ended_at - before.began_at if before else evidence.collected_seconds
    if covered is None:
        return Outcome.INCONCLUSIVE, "there is none, and none is being collected"
    text = f"{age(covered)} are collected (expected at least {wanted})"
    is_enough = covered >= evidence.clock.scaled(least_seconds)
    return (Outcome.PASS if is_enough else Outcome.INCONCLUSIVE), text


def _waits_for(phase: str, evidence: Evidence) -> str | None:
    """Return what has to happen before the phase can be judged, if anything."""
    deployed = evidence.deployed
    if phase != ALL:
        seen = deployed.phases.get(phase)
        if seen is None or seen.is_applied is None:
            return f"it is not known whether phase {phase} is applied"
        if seen.rolled_back:
            return f"phase {phase} is rolled back"
        return None if seen.is_applied else f"phase {phase} is not applied"
    if deployed.is_complete:
        return None
    if not deployed.has_begun:
        if deployed.has_begun is None:
            return "it is not known whether the deployment has begun"
        return evidence.not_begun
    # A deployment that was begun and left unfinished is judged as it is, after the warm-up.
    if not deployed.is_warming_up(evidence.now):
        return None
    return "a phase was rolled back" if deployed.rolled_back else "the deployment is under way"


def applied_at(phase: str, evidence: Evidence) -> float:
    """Return when the phase was applied, as a Unix time; 0 if that was before the first look."""
    phases = evidence.deployed.phases
    concerned = phases.values() if phase == ALL else [phases.get(phase, PhaseProgress())]
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
    since = applied_at(phase, evidence)
    found = _of_phases_that_stay(
        trusted_series(condition.metric or "", condition.labels, since, evidence), evidence
    )
    kind = condition.comparison.kind
    if condition.sum:
        if found.doubts:
            return _result(condition, Outcome.INCONCLUSIVE, found.doubts)
        found = TrustedSeries((), {(): math.fsum(found.series.values())}, ())
    gone = _gone(condition, found, evidence)
    doubts = [*found.doubts, *(each for each in gone.values() if kind != "present")]
    lost = dict(gone) if kind == "present" and found.is_complete else {}
    if lost:
        doubts = []
    seen: list[_Seen] = []
    missed: list[_Seen] = []
    for labels, value in found.series.items():
        bound = bound_of(condition, labels, since, evidence)
        if isinstance(bound, str):
            if kind != "present":  # what is new was not there to be lost
                about = _name(condition, found, labels) or condition.title
                doubts.append(f"{about}: {bound}")
            continue
        text = _words(condition, found, labels, value, bound, evidence)
        (seen if bound.holds(value) else missed).append(_Seen(labels, value, bound, text))
    missed.sort(key=lambda each: (-each.bound.miss(each.value), each.labels))
    if lost or (missed and kind != "newer_than"):
        failing = [*lost, *(each.labels for each in missed)]
        phases = _blamed_by_series(phase, found, failing, evidence)
        texts = [*lost.values(), *(each.text for each in missed)]
        return _result(condition, Outcome.FAIL, texts, phases)
    for each in missed:
        why = "too old" if each.value < evidence.now else "in the future, so too odd"
        doubts.append(f"{each.text}, {why} to prove anything")
    if not (doubts or seen):
        doubts.append(f"{condition.metric}: the baseline has none")
    if doubts:
        return _result(condition, Outcome.INCONCLUSIVE, doubts)
    return _result(condition, Outcome.PASS, _all_hold(condition, seen))


def _of_phases_that_stay(found: TrustedSeries, evidence: Evidence) -> TrustedSeries:
    """Return the series without those of phases that are rolled back."""
    gone = evidence.deployed.rolled_back
    if not gone or "phase" not in found.label_names:
        return found
    at = found.label_names.index("phase")
    kept = {labels: value for labels, value in found.series.items() if labels[at] not in gone}
    return replace(found, series=kept)


def _result(
    condition: Condition,
    outcome: Outcome,
    texts: Sequence[str],
    phases: tuple[str, ...] = (),
) -> ConditionResult:
    shown = _selector(condition) if condition.title else ""
    return ConditionResult(outcome, listed(texts), phases, shown)


def _selector(condition: Condition) -> str:
    name = selector(condition.metric or "", condition.labels)
    return f"the sum of {name}" if condition.sum else name


def _name(condition: Condition, found: TrustedSeries, labels: Labels) -> str:
    """Return a series in words: by the labels that the condition leaves open, or as PromQL."""
    if condition.sum:
        return _selector(condition)
    if not condition.title:
        return series_name(condition.metric or "", found.label_names, labels)
    open_labels = {
        name: label
        for name, label in zip(found.label_names, labels, strict=True)
        if len(condition.labels.get(name, ())) != 1
    }
    table = open_labels.pop(_TABLE, "") if len(open_labels) > 1 else ""
    told = " ".join(open_labels.values())
    return f"{told} on {table}" if table else told


def _words(
    condition: Condition,
    found: TrustedSeries,
    labels: Labels,
    value: float,
    bound: Bound,
    evidence: Evidence,
) -> str:
    """Return the value of a series with its bound, and with the value before where it is known."""
    name = _name(condition, found, labels)
    if condition.newer_than is not None:
        told = moment(value)
        if value <= evidence.now:
            told += f", {age(evidence.now - value)} ago"
        return f"{condition.title or name}: {told}"
    if not condition.title:
        told = f"{name} is {number(value)}"
    else:
        told = f"{number(value)} {condition.title}"
        told = f"{name}: {told}" if name and not condition.sum else told
    then = value_before(condition, labels, evidence)
    known = "" if then is None else f"; {number(then)} before"
    return f"{told} (expected {bound.text}{known})"


def _all_hold(condition: Condition, seen: list[_Seen]) -> list[str]:
    if len(seen) == 1 or condition.newer_than is not None:
        return [each.text for each in seen]
    least, most = min(each.value for each in seen), max(each.value for each in seen)
    values = number(least) if least == most else f"between {number(least)} and {number(most)}"
    expected = {each.bound.text for each in seen}
    bound = expected.pop() if len(expected) == 1 else "each as before"
    told = f"{condition.title}: " if condition.title else f"{_selector(condition)} is "
    return [f"{told}{values} in all {len(seen)} series (expected {bound})"]


def _blamed_by_series(
    phase: str, found: TrustedSeries, failing: Iterable[Labels], evidence: Evidence
) -> tuple[str, ...]:
    """Return the phase or, for all phases, those that the failing series name or belong to."""
    if phase != ALL:
        return _blamed(phase)
    named: set[str | None] = set()
    for labels in failing:
        of = dict(zip(found.label_names, labels, strict=True))
        named.add(of.get("phase") or evidence.owner_of(of.get(_TABLE, "")))
    return tuple(each for each in evidence.deployed.phases if each in named)


def _gone(condition: Condition, found: TrustedSeries, evidence: Evidence) -> dict[Labels, str]:
    """Return a line for each series of the baseline that is missing now, where that is compared."""
    compared = condition.comparison.against == BASELINE and not condition.sum
    if not compared or (found.doubts and not found.is_complete):
        return {}
    title = f"{condition.title} " if condition.title else ""
    return {
        labels: f"{title}{_name(condition, found, labels)} was {number(value)} before and is gone"
        for labels, value in series_before(condition, evidence).items()
        if labels not in found.series and not _is_ignored(condition, labels)
    }


def _is_ignored(condition: Condition, labels: Labels) -> bool:
    return any(fnmatchcase(label, pattern) for pattern in condition.ignore for label in labels)

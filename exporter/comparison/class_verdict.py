"""The verdict of a class: pass, fail or inconclusive, and the sentence that says why."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from exporter.clock import HOURS_OF_A_DAY
from exporter.comparison.class_evidence import Evidence
from exporter.comparison.class_hours import HOURS_KEPT, ClassHour, Span, last_hours, span_of
from exporter.comparison.class_reasons import (
    DOUBTS,
    REGRESSIONS,
    SURELY_WORSE,
    facts,
    nothing_worse,
    passed,
    too_little,
)
from exporter.comparison.counted_reasons import Reason, rows_missing
from exporter.comparison.rule import SLOWER, USUAL_RATIO
from exporter.comparison.single_statements import (
    CountedStatement,
    StatementCalls,
    called_more,
    finding_nothing,
    hardly_called,
    surely_slower,
)
from exporter.comparison.window_noise import BaselineNoise
from exporter.deployment.records import Outcome


@dataclass(frozen=True, slots=True)
class ClassResult:
    """What can be said about a class, and what that rests on."""

    outcome: Outcome
    reason: str
    """The cause, in one sentence without a full stop."""
    facts: str
    """What else was seen: how often it was asked, rows per call, the last day."""
    whole: Span
    """All hours since the deployment, the last 168 at most."""
    last_day: Span
    """The last 24 hours."""


_ORDER: Sequence[tuple[Outcome, Sequence[Reason]]] = (
    (Outcome.FAIL, (rows_missing,)),
    (Outcome.INCONCLUSIVE, (too_little,)),
    (Outcome.FAIL, REGRESSIONS),
    (Outcome.INCONCLUSIVE, DOUBTS),
    (Outcome.PASS, (passed,)),
)
"""The first reason that applies is the verdict. Missing rows need no statement that can be compared
in time; a regression does, but no doubt takes it back; and a pass is what leaves no doubt."""

_UNCLASSIFIED_ORDER: Sequence[tuple[Outcome, Sequence[Reason]]] = (
    (Outcome.INCONCLUSIVE, SURELY_WORSE),
    (Outcome.PASS, (nothing_worse,)),
)


def judge(
    hours: Sequence[ClassHour],
    noise: BaselineNoise,
    *,
    margin: float = SLOWER,
    hour_seconds: float = 3600.0,
    usual_ratio: tuple[float, float] = USUAL_RATIO,
    statements: Sequence[StatementCalls] = (),
    replacements: Sequence[CountedStatement] = (),
    usual: Sequence[CountedStatement] = (),
    notes: Sequence[str] = (),
) -> ClassResult:
    """Return the verdict of a class.

    - fail: rows are missing, or calls are surely slower than the margin, over the whole time or in
      the last 24 hours, by the total and by the median hour, and that costs enough;
    - pass: calls are surely not slower than the margin, and nothing else is unusual;
    - inconclusive: anything between.

    Args:
        hours: in order, those since the deployment and its warm-up; the last 168 are judged.
        noise: that of the baseline, the roles pooled by their expected time.
        margin: how many times the time of the baseline is still no regression.
        hour_seconds: how long an hour is; shorter in a rehearsal.
        usual_ratio: between what calls per hour are over the usual, for a pass.
        statements: the single statements of the class that have a baseline.
        replacements: those that replace statements of the baseline.
        usual: those that had much of the calls in the baseline, and that nothing replaces.
        notes: what else is to be said about the evidence.
    """
    evidence = _evidence(hours, noise, margin, hour_seconds, statements)
    evidence = replace(
        evidence,
        usual_ratio=usual_ratio,
        called_more=called_more(replacements),
        missed=hardly_called(usual),
    )
    return _first(_ORDER, evidence, notes)


def judge_unclassified(
    hours: Sequence[ClassHour],
    noise: BaselineNoise,
    statements: Sequence[StatementCalls],
    *,
    hour_seconds: float = 3600.0,
    notes: Sequence[str] = (),
) -> ClassResult:
    """Return the verdict of the statements that no class claims.

    They are not what the deployment is about, so it does not fail for them: what is surely worse
    makes it inconclusive, and too few calls to tell are no doubt. The arguments are those of
    `judge`.
    """
    evidence = _evidence(hours, noise, SLOWER, hour_seconds, statements)
    return _first(_UNCLASSIFIED_ORDER, evidence, notes)


def _evidence(
    hours: Sequence[ClassHour],
    noise: BaselineNoise,
    margin: float,
    hour_seconds: float,
    statements: Sequence[StatementCalls],
) -> Evidence:
    hours = last_hours(hours, HOURS_KEPT, hour_seconds)
    whole = span_of(hours, noise)
    return Evidence(
        hours=hours,
        whole=whole,
        last_day=span_of(last_hours(hours, HOURS_OF_A_DAY, hour_seconds), noise),
        margin=margin,
        hour_seconds=hour_seconds,
        slower=surely_slower(statements, noise, whole.calls.watched_hours),
        finding_nothing=finding_nothing(statements),
    )


def _first(
    order: Sequence[tuple[Outcome, Sequence[Reason]]], evidence: Evidence, notes: Sequence[str]
) -> ClassResult:
    """Return the result by the first reason that applies."""
    outcome, reason = next(
        (outcome, reason)
        for outcome, reasons in order
        for each in reasons
        if (reason := each(evidence))
    )
    seen = "; ".join([facts(evidence), *notes])
    return ClassResult(outcome, reason, seen, evidence.whole, evidence.last_day)

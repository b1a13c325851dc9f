"""The verdict of a class: pass, fail or inconclusive, and the sentence that says why."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, auto

from exporter.comparison.class_evidence import Evidence
from exporter.comparison.class_hours import HOURS_KEPT, ClassHour, Span, last_hours, span_of
from exporter.comparison.class_reasons import (
    DOUBTS,
    REGRESSIONS,
    TOO_LITTLE,
    Reason,
    facts,
    passed,
    rows_missing,
)
from exporter.comparison.rule import HOURS_OF_A_DAY, SLOWER
from exporter.comparison.slow_statements import (
    ReplacementCalls,
    StatementCalls,
    called_more,
    surely_slower,
)
from exporter.comparison.window_noise import BaselineNoise


class Outcome(StrEnum):
    """What can be said about a deployment, or a part of it."""

    PASS = auto()
    FAIL = auto()
    INCONCLUSIVE = auto()


@dataclass(frozen=True, slots=True)
class ClassVerdict:
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
    (Outcome.INCONCLUSIVE, TOO_LITTLE),
    (Outcome.FAIL, REGRESSIONS),
    (Outcome.INCONCLUSIVE, DOUBTS),
    (Outcome.PASS, (passed,)),
)
"""The first reason that applies is the verdict. Missing rows need no statement that can be compared
in time; a regression does, but no doubt takes it back; and a pass is what leaves no doubt."""


def judge(
    hours: Sequence[ClassHour],
    noise: BaselineNoise,
    *,
    margin: float = SLOWER,
    hour_seconds: float = 3600.0,
    statements: Sequence[StatementCalls] = (),
    replacements: Sequence[ReplacementCalls] = (),
) -> ClassVerdict:
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
        statements: the single statements of the class that have a baseline.
        replacements: those that replace statements of the baseline.
    """
    hours = last_hours(hours, HOURS_KEPT, hour_seconds)
    whole = span_of(hours, noise)
    evidence = Evidence(
        hours=hours,
        whole=whole,
        last_day=span_of(last_hours(hours, HOURS_OF_A_DAY, hour_seconds), noise),
        margin=margin,
        hour_seconds=hour_seconds,
        slower=surely_slower(statements, noise, whole.calls.watched_hours),
        called_more=called_more(replacements),
    )
    outcome, reason = next(
        (outcome, reason)
        for outcome, reasons in _ORDER
        for each in reasons
        if (reason := each(evidence))
    )
    return ClassVerdict(outcome, reason, facts(evidence), whole, evidence.last_day)

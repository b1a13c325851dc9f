"""What the verdict of a class asks of its evidence: is it surely slower, is it surely not?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from exporter.clock import HOURS_OF_A_DAY
from exporter.comparison.class_hours import ClassHour, Span
from exporter.comparison.rule import (
    EXCESS_FLOOR_SECONDS,
    FAIL_FLOOR_SECONDS_A_CALL,
    FAIL_Z,
    GREATEST_CALL_ERROR,
    LAST_DAY_MARGIN,
    LEAST_CALLS,
    LEAST_CALLS_TO_PASS,
    PAGE,
    PASS_FROM_HOURS,
    PASS_Z,
    USUAL_RATIO,
    Change,
)
from exporter.comparison.single_statements import CountedStatement, StatementCalls


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the verdict of a class rests on."""

    hours: Sequence[ClassHour]
    whole: Span
    last_day: Span
    margin: float
    hour_seconds: float = 3600.0
    usual_ratio: tuple[float, float] = USUAL_RATIO
    """Between what calls per hour are over the usual, for a pass."""
    slower: Sequence[tuple[str, Change]] = ()
    """Statements that surely take more than twice their expectation, worst first."""
    finding_nothing: Sequence[StatementCalls] = ()
    """Statements with less than a tenth of their rows, those with most calls first."""
    called_more: Sequence[CountedStatement] = ()
    """Replacements that are called more than twice per operation, worst first."""
    missed: Sequence[CountedStatement] = ()
    """Statements that are called less than half as often, the most usual one first."""

    @property
    def spans(self) -> Sequence[tuple[str, Span]]:
        """The whole time and, if it is more than a day, the last 24 hours, each with its words."""
        if self.whole.calls.watched_hours <= HOURS_OF_A_DAY:
            return (("", self.whole),)
        return (("", self.whole), ("in the last 24 h, ", self.last_day))


def pass_z(hours: float) -> float:
    """Return at how many standard errors the bound of R must be below the margin for a pass.

    Args:
        hours: how long calls were watched, in hours of the baseline.
    """
    early = math.sqrt(PASS_FROM_HOURS / max(hours, 1e-9))
    return min(PASS_Z * max(early, 1.0), FAIL_Z)


def pass_bound(span: Span) -> float:
    """Return the ratio below which R surely is; infinity where there are too few calls to pass."""
    if span.change is None or not has_enough_calls(span.change):
        return math.inf
    return span.change.bound(pass_z(span.calls.watched_hours))


def has_enough_calls(change: Change) -> bool:
    """Return whether there are enough calls for a pass, as much as they spread."""
    return change.calls >= LEAST_CALLS_TO_PASS and change.call_error <= GREATEST_CALL_ERROR


def last_day_bound(evidence: Evidence) -> float:
    """Return the ratio below which the last 24 hours surely are, 0 if that is all the time."""
    change = evidence.last_day.change
    if change is None or evidence.whole.calls.watched_hours <= HOURS_OF_A_DAY:
        return 0.0
    return change.bound(PASS_Z)


def last_day_margin(evidence: Evidence) -> float:
    """Return the ratio below which the last 24 hours alone must surely be."""
    return evidence.margin * LAST_DAY_MARGIN


def is_slower(span: Span, margin: float) -> bool:
    """Return whether the calls of a span are surely slower than the margin.

    R is beyond the margin, and ln R above 0 by 3.09 standard errors, for the total as well as for
    the median hour; more than two calls explain the excess.
    """
    change, median = span.change, span.median_ratio
    return (
        change is not None
        and median is not None
        and change.calls >= LEAST_CALLS
        and min(change.ratio, median) > margin
        and min(change.z, span.median_z) > FAIL_Z
        and change.z_raw > PAGE.z_raw
    )


def costs_enough(span: Span, hour_seconds: float = 3600.0) -> bool:
    """Return whether the excess is at least 1 ms a call, or 1 s in an hour."""
    hours = EXCESS_FLOOR_SECONDS * span.calls.watched_hours * hour_seconds / 3600
    calls = FAIL_FLOOR_SECONDS_A_CALL * span.calls.sums.calls
    return span.calls.sums.excess_seconds >= min(hours, calls)

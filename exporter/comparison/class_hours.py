"""What a class did since the deployment, hour by hour, and what a span of these hours says."""

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from exporter.comparison.rule import (
    ENOUGH_COUNTED,
    LEAST_CALLS,
    LEAST_ERROR,
    LEAST_PIECES,
    SPREAD_RATIO,
    Change,
)
from exporter.comparison.sums import Sums
from exporter.comparison.window import compare
from exporter.comparison.window_noise import BaselineNoise

HOURS_KEPT = 7 * 24
"""How many hours of a class are kept and judged."""

# What makes the median absolute deviation that of normal values, and the variance of a median over
# that of a mean.
_MAD = 1.4826
_MEDIAN_VARIANCE = math.pi / 2


class ClassCalls(NamedTuple):
    """What the statements of a class did in some time, all roles together. Grows only."""

    watched_hours: float = 0.0
    """How long that time was, as far as it was watched, in hours of the baseline."""
    sums: Sums = Sums()
    """Of statements with a baseline, as all that follows up to planning time."""
    rows: int = 0
    expected_rows: float = 0.0
    """What as many calls returned in the baseline."""
    blocks: int = 0
    expected_blocks: float = 0.0
    plan_seconds: float = 0.0
    """Planning time, where it is tracked."""
    expected_plan_seconds: float = 0.0
    calls: int = 0
    """Of all statements of the class, without the role `other`: people at a psql."""
    usual_calls: float = 0.0
    """What the baseline has in the same hours of the week."""
    covered_seconds: float = 0.0
    """Of statements with a baseline, without the role `other`."""
    uncovered_seconds: float = 0.0
    """Of statements without one, without the role `other`."""

    def plus(self, other: "ClassCalls") -> "ClassCalls":
        """Return what both are together."""
        return ClassCalls(
            self.watched_hours + other.watched_hours,
            self.sums.plus(other.sums),
            self.rows + other.rows,
            self.expected_rows + other.expected_rows,
            self.blocks + other.blocks,
            self.expected_blocks + other.expected_blocks,
            self.plan_seconds + other.plan_seconds,
            self.expected_plan_seconds + other.expected_plan_seconds,
            self.calls + other.calls,
            self.usual_calls + other.usual_calls,
            self.covered_seconds + other.covered_seconds,
            self.uncovered_seconds + other.uncovered_seconds,
        )

    @property
    def coverage(self) -> float | None:
        """Seconds of statements with a baseline over all seconds; None without any."""
        seconds = self.covered_seconds + self.uncovered_seconds
        return self.covered_seconds / seconds if seconds > 0 else None

    @property
    def all_seconds_ratio(self) -> float | None:
        """Seconds of all statements, with planning, over those expected of statements known."""
        expected = self.sums.expected_seconds + self.expected_plan_seconds
        seconds = self.sums.seconds + self.plan_seconds + self.uncovered_seconds
        return seconds / expected if expected > 0 else None

    @property
    def rows_ratio(self) -> float | None:
        """Rows per call over their expectation; None where there are too few to tell."""
        return _counted_ratio(self.rows, self.expected_rows)

    @property
    def calls_ratio(self) -> float | None:
        """Calls over those usual in these hours; None where there are too few to tell."""
        return _counted_ratio(self.calls, self.usual_calls)


class ClassHour(NamedTuple):
    """One hour, which began at this Unix time. There is one for each hour that was watched."""

    start: float
    calls: ClassCalls


class Spread(NamedTuple):
    """How far calls deviate from their expectation in the median hour, as root mean squares."""

    to_baseline: float = 0.0
    """Over the standard deviation of the baseline."""
    to_mean: float = 0.0
    """Over the expected time."""

    @property
    def is_wide(self) -> bool:
        """Return whether some calls are far from what is expected."""
        return self.to_baseline > SPREAD_RATIO and self.to_mean > 1.0


@dataclass(frozen=True, slots=True)
class Span:
    """What the calls of some hours say together."""

    calls: ClassCalls
    change: Change | None
    """All calls against the baseline; None without any."""
    median_ratio: float | None
    """The median of the hours' ratios; None if there are fewer than `LEAST_PIECES`."""
    median_z: float
    """How many standard errors the logarithm of that is above 0."""
    spread: Spread


def spread_of(hours: Iterable[Sums]) -> Spread:
    """Return sqrt(D/W) and sqrt(D/S) of the median hour, of those with five calls; 0 without."""
    enough = [
        sums
        for sums in hours
        if sums.calls >= LEAST_CALLS and sums.expected_variance > 0 and sums.expected_squared > 0
    ]
    if len(enough) < LEAST_PIECES:
        return Spread()
    return Spread(
        statistics.median(each.deviation / each.expected_variance for each in enough) ** 0.5,
        statistics.median(each.deviation / each.expected_squared for each in enough) ** 0.5,
    )


def span_of(hours: Sequence[ClassHour], noise: BaselineNoise) -> Span:
    """Return what these hours say: the total, and the median that one incident cannot carry."""
    total = ClassCalls()
    for hour in hours:
        total = total.plus(hour.calls)
    change = compare(total.sums, noise, total.watched_hours)
    logs = [log for _, log in pieces(hour.calls.sums for hour in hours)]
    spread = spread_of(hour.calls.sums for hour in hours)
    return Span(total, change, *median_of(logs, noise, total.watched_hours), spread)


def pieces(hours: Iterable[Sums]) -> Iterator[tuple[int, float]]:
    """Yield for each piece of time how many hours were over at its end, and its log ratio.

        L_b = ln(T_b/E_b) + ½·ln(1 + W_b/E_b²)

    A piece is an hour, or as many as it takes to have five calls. The second term corrects for
    skewness: the median of a sum of lognormal times is below its mean by that factor (Fenton,
    1960).
    """
    piece = Sums()
    for number, hour in enumerate(hours, start=1):
        piece = piece.plus(hour) if piece.calls else hour
        if piece.calls < LEAST_CALLS:
            continue
        seconds, expected = piece.seconds, piece.expected_seconds
        if seconds > 0 and expected > 0:
            skewness = math.log1p(piece.expected_variance / expected**2) / 2
            yield number, math.log(seconds / expected) + skewness
        piece = Sums()


def median_of(
    logs: Sequence[float], noise: BaselineNoise, hours: float
) -> tuple[float | None, float]:
    """Return the median ratio of pieces, and how many standard errors its logarithm is above 0.

    The squared error is π/2·(1.48·MAD)²/k + ε² + τ² for k pieces of `hours` hours together. With
    fewer than `LEAST_PIECES` there is none.
    """
    if len(logs) < LEAST_PIECES:
        return None, 0.0
    median = statistics.median(logs)
    deviation = _MAD * statistics.median(abs(each - median) for each in logs)
    error = math.sqrt(
        _MEDIAN_VARIANCE * deviation**2 / len(logs)
        + noise.relative_error**2
        + noise.log_stddev(hours) ** 2
    )
    return math.exp(median), median / max(error, LEAST_ERROR)


def last_hours(
    hours: Sequence[ClassHour], count: int, hour_seconds: float = 3600.0
) -> Sequence[ClassHour]:
    """Return those that began within the last `count` hours, of hours in their order."""
    if not hours:
        return hours
    begin = hours[-1].start - (count - 0.5) * hour_seconds
    return [hour for hour in hours if hour.start > begin]


def _counted_ratio(seen: int, expected: float) -> float | None:
    if max(seen, expected) < ENOUGH_COUNTED:
        return None
    return seen / expected if expected > 0 else math.inf

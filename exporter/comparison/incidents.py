"""Hours in which a statement had an incident before the deployment.

A wait for a lock, or a cold cache, of a minute can be as much as a week of calls: the mean of the
baseline would hide any slow-down after it.
"""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from exporter.clock import HOURS_OF_A_DAY, Clock
from exporter.comparison.rule import PAGE
from exporter.comparison.sums import contribution, excess_spread
from exporter.statements.counters import Delta, combine

LEFT_OUT_RATIO = 2.0
"""How many times the mean of the others an hour's mean must be, to be taken for an incident."""

# At most one hour in 20 is left out, and none where there are fewer than 10.
_LEFT_OUT_ONE_IN = 20
_LEFT_OUT_FROM = 10
_RECURS_FROM = 2


class HourOfCalls(NamedTuple):
    """The calls of one statement in one hour, which began at this Unix time."""

    start: float
    delta: Delta


def incidents(hours: Sequence[HourOfCalls], clock: Clock = Clock()) -> frozenset[float]:
    """Return when the hours began in which the statement was far slower than usual.

    At most the 5 % with the largest means, and of these only the ones whose mean is more than twice
    that of all others by more than one or two calls (z_raw > 1.5), unless the same hour of other
    days, or of other weeks, is as slow. Leaving out the worst hours without such a condition would
    move the mean by 3 % at 200 calls an hour, and by up to 40 % at one, where an hour is bad
    because its only call was a long one; and it would leave out every night with a batch job.

    Raises:
        ValueError: there is no hour.
    """
    ordered = sorted(hours, key=_mean)
    most = max(len(ordered) // _LEFT_OUT_ONE_IN, 1) if len(ordered) >= _LEFT_OUT_FROM else 0
    usual = combine(hour.delta for hour in ordered[: len(ordered) - most])
    mean = usual.seconds / usual.calls
    return frozenset(
        hour.start
        for hour in ordered[len(ordered) - most :]
        if _is_incident(hour.delta, mean) and not _recurs(hour, hours, clock)
    )


def _mean(hour: HourOfCalls) -> float:
    return hour.delta.seconds / hour.delta.calls


def _recurs(hour: HourOfCalls, hours: Sequence[HourOfCalls], clock: Clock) -> bool:
    """Return whether the same hour of most other days, or of most other weeks, is as slow."""
    week = clock.hour_of_week(hour.start)
    others = [(clock.hour_of_week(each.start), _mean(each)) for each in hours if each != hour]
    same_day = [mean for other, mean in others if other % HOURS_OF_A_DAY == week % HOURS_OF_A_DAY]
    same_week = [mean for other, mean in others if other == week]
    return any(
        len(means) >= _RECURS_FROM and _mean(hour) <= LEFT_OUT_RATIO * statistics.median(means)
        for means in (same_day, same_week)
    )


def _is_incident(delta: Delta, mean: float) -> bool:
    sums = contribution(delta, mean, 0.0)
    is_slow = delta.seconds > LEFT_OUT_RATIO * delta.calls * mean
    return is_slow and sums.excess_seconds > PAGE.z_raw * excess_spread(sums) ** 0.5

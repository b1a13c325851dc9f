"""Which hour of the day and of the week it is, in UTC, as far as an hour is an hour."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

_EPOCH_HOUR_OF_WEEK = 3 * 24
"""The Unix epoch was the beginning of a Thursday."""

HOURS_OF_WEEK = 7 * 24
_WEEKEND = 5 * 24


def hour_of_week(at: float, hour_seconds: float = 3600.0) -> int:
    """Return the hours since Monday began, 0 to 167, at a Unix time.

    Where an hour is shorter than 3600 s, in a rehearsal, weeks are shorter as well.

    >>> hour_of_week(0), hour_of_week(4 * 86400), hour_of_week(86400 * 4 - 1)
    (72, 0, 167)
    """
    return (int(at // hour_seconds) + _EPOCH_HOUR_OF_WEEK) % HOURS_OF_WEEK


def hour_of_day(hour_of_week: int) -> int:
    """Return the hour of the day, 0 to 23 on a weekday and 24 to 47 on a weekend.

    >>> hour_of_day(25), hour_of_day(5 * 24)
    (1, 24)
    """
    return hour_of_week % 24 + (24 if hour_of_week >= _WEEKEND else 0)


def usual_calls(
    calls: Mapping[float, int], watched: Iterable[float], hour_seconds: float = 3600.0
) -> Sequence[float]:
    """Return how often a class is usually called in each of the 168 hours of a week.

    The mean of that hour of the week, else of that hour of the day, on a weekday or on a weekend,
    else of all hours.

    Args:
        calls: by the Unix time at which the hour began, the calls of the class in it.
        watched: when the hours of the baseline began, those without calls included.
        hour_seconds: how long each of them is.
    """
    by_week: defaultdict[int, list[int]] = defaultdict(list)
    by_day: defaultdict[int, list[int]] = defaultdict(list)
    every = []
    for start in watched:
        week, count = hour_of_week(start, hour_seconds), calls.get(start, 0)
        by_week[week].append(count)
        by_day[hour_of_day(week)].append(count)
        every.append(count)
    return [
        fmean(by_week.get(hour) or by_day.get(hour_of_day(hour)) or every or [0])
        for hour in range(HOURS_OF_WEEK)
    ]

"""What a statement was before the deployment: how long a call took, and what it read.

The level is that of the last seven days, the rhythm of the day and the spread of calls come from
all days. Hours in which the statement had an incident are left out of all of it.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from exporter.baseline.artefact import Cell
from exporter.clock import HOURS_OF_A_WEEK, Clock, hour_of_day
from exporter.comparison.incidents import HourOfCalls, incidents
from exporter.comparison.rule import LEVEL_DAYS
from exporter.comparison.sums import Sums, contribution
from exporter.statements.counters import Delta, combine

ENOUGH_HOURS = 3
ENOUGH_CALLS = 30
"""An hour of the week or of the day has an expectation of its own from three hours with 30 calls
each."""

RHYTHM_F = 3.0
"""How far the hours of the day must differ for having expectations of their own. By chance, where
noise goes on from hour to hour, F is beyond 3 in one of a hundred statements."""

# Of ten hours or more, one in 20 is left out of the variance.
_TRIMMED_ONE_IN = 20
_TRIMMED_FROM = 10


class Expected(NamedTuple):
    """Mean of a call, in seconds, and its variance, in seconds squared."""

    mean_seconds: float
    variance: float


@dataclass(frozen=True, slots=True)
class StatementProfile:
    """What is to be expected of a statement, per call. Immutable."""

    calls: int
    """In the hours that the mean comes from."""
    mean_seconds: float
    """m, over the last seven days without incidents."""
    variance: float
    """s², without the hours that spread most, in seconds squared."""
    whole_variance: float
    """The same with these, for the error of the mean."""
    rows: float
    """Rows per call."""
    blocks: float
    """Blocks hit and read per call."""
    plan_seconds: float = 0.0
    """Planning time per call; 0 where it is not tracked."""
    left_out: frozenset[float] = frozenset()
    """When the hours began that were taken for incidents, as Unix times."""
    moved: float = 1.0
    """By what factor these hours would have raised the mean."""
    level: float = 1.0
    """The mean of the last seven days over that of all days."""
    hours_of_week: Mapping[int, Cell] = field(default_factory=dict)
    hours_of_day: Mapping[int, Cell] = field(default_factory=dict)
    """At the level of the last seven days."""

    def expected(self, hour: int) -> Expected:
        """Return what is expected of a call in an hour of the week.

        The mean of that hour of the week, else of that hour of the day, on a weekday or on a
        weekend, else overall.
        """
        cell = self._cell(hour)
        if cell is None:
            return Expected(self.mean_seconds, self.variance)
        return Expected(cell.seconds / cell.calls, cell.variance)

    def against_others(self, hour: HourOfCalls, clock: Clock = Clock()) -> Sums:
        """Return the sums of an hour of the baseline against the other hours that it is like.

        Against an expectation that it is part of, an hour looks quieter than the hours after the
        deployment will be: with five hours in a cell, by a third of the variance. An hour that was
        left out of the expectation is not left out here, because such hours may come again.
        """
        delta, number = hour.delta, clock.hour_of_week(hour.start)
        cell = self._cell(number)
        if cell is None or cell.calls <= delta.calls or hour.start in self.left_out:
            return contribution(delta, *self.expected(number))
        mean = (cell.seconds - delta.seconds * self.level) / (cell.calls - delta.calls)
        return contribution(delta, max(mean, 0.0), cell.variance)

    def _cell(self, hour: int) -> Cell | None:
        return self.hours_of_week.get(hour) or self.hours_of_day.get(hour_of_day(hour))


def statement_profile(
    hours: Sequence[HourOfCalls], ended_at: float, clock: Clock = Clock()
) -> StatementProfile:
    """Return what the hours in which a statement was called tell about it.

    Args:
        hours: in order, at least one, each with at least one call.
        ended_at: the Unix time at which the baseline ended.
        clock: with the length of each of the hours.
    """
    left_out = incidents(hours, clock)
    kept = [hour for hour in hours if hour.start not in left_out]
    level_from = ended_at - LEVEL_DAYS * clock.day_seconds
    level = combine(hour.delta for hour in kept if hour.start >= level_from)
    everything = combine(hour.delta for hour in kept)
    if not level.calls:
        level, level_from = everything, hours[0].start
    with_incidents = combine(hour.delta for hour in hours if hour.start >= level_from)
    mean = level.seconds / level.calls
    factor = mean / (everything.seconds / everything.calls) if everything.seconds else 1.0
    of_week, of_day = _rhythm(kept, factor, clock)
    return StatementProfile(
        calls=level.calls,
        mean_seconds=mean,
        variance=_trimmed_variance([hour.delta for hour in kept]),
        whole_variance=_variance(everything),
        rows=level.rows / level.calls,
        blocks=(level.blocks_hit + level.blocks_read) / level.calls,
        plan_seconds=level.plan_seconds / level.calls,
        left_out=left_out,
        level=factor,
        moved=with_incidents.seconds / with_incidents.calls / mean if mean else 1.0,
        hours_of_week=of_week,
        hours_of_day=of_day,
    )


def mean_error(profiles: Iterable[StatementProfile]) -> float:
    """Return the relative standard error of the expected time by the spread of calls alone.

    sqrt(Σ n·s²) / Σ n·m over the statements of a class.
    """
    variance = expected = 0.0
    for profile in profiles:
        variance += profile.calls * profile.whole_variance
        expected += profile.calls * profile.mean_seconds
    return variance**0.5 / expected if expected > 0 else 0.0


def moved(profiles: Iterable[StatementProfile]) -> float:
    """Return by what factor the hours that were left out would have raised a class's expectation.

    Beyond `rule.MOVED_WARNING`, somebody should look at what happened in these hours.
    """
    before = after = 0.0
    for profile in profiles:
        after += profile.calls * profile.mean_seconds
        before += profile.calls * profile.mean_seconds * profile.moved
    return before / after if after > 0 else 1.0


def _rhythm(
    hours: Sequence[HourOfCalls], factor: float, clock: Clock
) -> tuple[dict[int, Cell], dict[int, Cell]]:
    """Return the expectations by hour of the week and of the day, at the level of the last days."""
    by_week: defaultdict[int, list[Delta]] = defaultdict(list)
    by_day: defaultdict[int, list[Delta]] = defaultdict(list)
    for start, delta in hours:
        week = clock.hour_of_week(start)
        by_week[week].append(delta)
        by_day[hour_of_day(week)].append(delta)
    return _cells(by_week, factor), _cells(by_day, factor)


def _cells(hours: Mapping[int, Sequence[Delta]], factor: float) -> dict[int, Cell]:
    known = {
        hour: deltas
        for hour, deltas in sorted(hours.items())
        if sum(delta.calls >= ENOUGH_CALLS for delta in deltas) >= ENOUGH_HOURS
    }
    if not _is_evident(known.values()):
        return {}
    cells = {}
    for hour, deltas in known.items():
        total = combine(deltas)
        variance = _trimmed_variance(deltas) * factor**2
        cells[hour] = Cell(total.calls, total.seconds * factor, variance)
    return cells


def _is_evident(cells: Collection[Sequence[Delta]]) -> bool:
    """Return whether hours differ from each other by more than the same hours of several days do.

    By the F of Fisher (1925): the mean square of the logarithms between cells over that within
    them. Expectations by the hour are less certain than one overall, so they must be worth it.
    """
    logs = [
        [
            math.log(each.seconds / each.calls)
            for each in deltas
            if each.calls >= ENOUGH_CALLS and each.seconds > 0
        ]
        for deltas in cells
    ]
    logs = [each for each in logs if each]
    count = sum(len(each) for each in logs)
    if len(logs) < 2 or count <= len(logs):
        return False
    mean = math.fsum(map(math.fsum, logs)) / count
    between = math.fsum(len(each) * (statistics.fmean(each) - mean) ** 2 for each in logs)
    within = math.fsum(len(each) * statistics.pvariance(each) for each in logs)
    return between / (len(logs) - 1) > RHYTHM_F * within / (count - len(logs))


def _trimmed_variance(deltas: Sequence[Delta]) -> float:
    """Return s², without one hour in 20, the one that spreads most, where there are 10 or more.

    So that one wait for a lock before the deployment does not hide every slow-down after it. Within
    hours and between them (Chan, Golub and LeVeque, 1979).
    """
    ordered = sorted(deltas, key=lambda delta: delta.squared_deviation)
    count = len(ordered)
    most = max(count // _TRIMMED_ONE_IN, 1) if count >= _TRIMMED_FROM else 0
    return _variance(combine(ordered[: count - most]))


def _variance(total: Delta) -> float:
    """Return the variance of a call; a single call stands for its own standard deviation."""
    if total.calls == 1:
        return total.seconds**2
    return total.squared_deviation / (total.calls - 1)


def usual_calls(
    calls: Mapping[float, int], watched: Mapping[float, float], clock: Clock = Clock()
) -> Sequence[float]:
    """Return how often statements are usually called in each of the 168 hours of a week.

    The mean of that hour of the week, else of that hour of the day, on a weekday or on a weekend,
    else of all hours.

    Args:
        calls: by the Unix time at which the hour began, the calls in it.
        watched: how long each hour of the baseline was watched, in seconds; those without calls
            included.
        clock: with the length of each of the hours.
    """
    by_week: defaultdict[int, _Rate] = defaultdict(_Rate)
    by_day: defaultdict[int, _Rate] = defaultdict(_Rate)
    every = _Rate()
    for start, seconds in watched.items():
        week = clock.hour_of_week(start)
        for rate in (by_week[week], by_day[hour_of_day(week)], every):
            rate.calls += calls.get(start, 0)
            rate.seconds += seconds
    found = []
    for hour in range(HOURS_OF_A_WEEK):
        known = (by_week[hour], by_day[hour_of_day(hour)], every)
        rate = next((each for each in known if each.seconds > 0), every)
        found.append(rate.calls * clock.hour_seconds / rate.seconds if rate.seconds else 0.0)
    return found


@dataclass(slots=True)
class _Rate:
    calls: int = 0
    seconds: float = 0.0

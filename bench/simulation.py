"""The decision rule in simulated databases: what it says at each look, and when alerts fire.

Baselines are learnt by the code of the exporter; what it then decides comes from `bench.arrays`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.arrays import LOOK_MINUTES, Hours, Looks, looks, slow_at
from bench.worlds import WEEK_HOURS, WEEK_MINUTES, Grid
from exporter.comparison.incidents import HourOfCalls
from exporter.comparison.profile import mean_error, statement_profile, usual_calls
from exporter.comparison.rule import (
    ALERT_WINDOWS,
    FAST_PAGE_FOR_MINUTES,
    FAST_WINDOW,
    PAGE_FOR_MINUTES,
    PAGE_KEEP_FIRING_MINUTES,
    PAGE_WINDOWS,
    TICKET_FOR_MINUTES,
    TICKET_KEEP_FIRING_MINUTES,
    TICKET_WINDOW,
)
from exporter.comparison.sums import Sums
from exporter.comparison.window_noise import BaselineNoise, window_noise
from exporter.statements.counters import Delta

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.arrays import Bools
    from bench.worlds import Floats

MONDAY = 4 * 86_400.0
"""The Unix time at which baselines begin."""


class Known(NamedTuple):
    """A baseline as the exporter learns it; means and variances by statement and hour of week."""

    means: Floats
    variances: Floats
    rows: Floats
    """Per call, by statement."""
    usual_calls: Floats
    """By hour of week."""
    shares: Floats
    """Of the calls, by statement."""
    noise: BaselineNoise

    def sums(self, grid: Grid, slots_an_hour: int = 1) -> Floats:
        """Return the six sums of `Sums` by statement and slot of a grid that begins on a Monday."""
        hour = np.arange(grid.calls.shape[1]) // slots_an_hour % WEEK_HOURS
        mean, variance = self.means[:, hour], self.variances[:, hour]
        calls, seconds, squares = grid
        expected = calls * mean
        deviation = squares - 2 * mean * seconds + expected * mean
        return np.stack([calls, seconds, expected, expected * mean, calls * variance, deviation])


class Fired(NamedTuple):
    """How often alerts began to fire in a week, and when the first page did."""

    pages: int
    tickets: int
    first_page_hours: float
    """Since the deployment; infinity without any."""


def learn(baseline: Grid, rows: Floats) -> Known:
    """Learn a baseline, hour by hour, as the exporter does."""
    hours = baseline.calls.shape[1]
    starts = [MONDAY + 3600.0 * hour for hour in range(hours)]
    profiles, expected = [], []
    sums: dict[float, Sums] = {}
    for number in range(baseline.calls.shape[0]):
        seen = _hours_of_calls(number, baseline, rows, starts)
        profile = statement_profile(seen, starts[-1] + 3600.0)
        profiles.append(profile)
        expected.append([profile.expected(hour) for hour in range(WEEK_HOURS)])
        for hour in seen:
            new = profile.against_others(hour)
            sums[hour.start] = sums.get(hour.start, Sums()).plus(new)
    total = baseline.calls.sum(0)
    calls = {start: int(count) for start, count in zip(starts, total, strict=True)}
    known = np.array(expected)
    return Known(
        means=known[:, :, 0],
        variances=known[:, :, 1],
        rows=np.array([profile.rows for profile in profiles]),
        usual_calls=np.array(usual_calls(calls, dict.fromkeys(starts, 3600.0))),
        shares=np.array([each.calls for each in profiles]) / sum(each.calls for each in profiles),
        noise=window_noise(sums, mean_error(profiles)),
    )


def slowed(week: Grid, factor: float, from_hour: int = 0) -> Grid:
    """Return the week with all calls slower from an hour on."""
    minute = np.arange(WEEK_MINUTES)
    return week.times(np.where(minute >= 60 * from_hour, factor, 1.0))


def fired(known: Known, week: Grid) -> Fired:
    """Return which alerts fire in a week."""
    sums = known.sums(week, 60).sum(1)
    slow = {window: slow_at(window, sums, known.noise) for window in ALERT_WINDOWS}
    regression = np.zeros(WEEK_MINUTES // LOOK_MINUTES, dtype=bool)
    for window in PAGE_WINDOWS:
        before = round(60 * window.hours) // LOOK_MINUTES
        regression[before:] |= slow[window][before:] & slow[window][:-before]
    pages = [
        _firing(regression, PAGE_FOR_MINUTES, PAGE_KEEP_FIRING_MINUTES),
        _firing(slow[FAST_WINDOW], FAST_PAGE_FOR_MINUTES, PAGE_KEEP_FIRING_MINUTES),
    ]
    ticket = _firing(slow[TICKET_WINDOW], TICKET_FOR_MINUTES, TICKET_KEEP_FIRING_MINUTES)
    first = min((int(np.argmax(each)) for each in pages if each.any()), default=None)
    return Fired(
        pages=sum(_begins(each) for each in pages),
        tickets=_begins(ticket),
        first_page_hours=math.inf if first is None else (first + 1) * LOOK_MINUTES / 60,
    )


def verdicts(known: Known, week: Grid, rows: Floats) -> Looks:
    """Return what the verdict says at the end of each hour of a week."""
    by_hour = known.sums(week.by(60))
    expected_rows = known.rows[:, None] * by_hour[0]
    hours = Hours(by_hour, rows, expected_rows, known.usual_calls, known.shares)
    return looks(hours, known.noise)


def _hours_of_calls(
    statement: int, baseline: Grid, rows: Floats, starts: Sequence[float]
) -> list[HourOfCalls]:
    """Return what pg_stat_statements would have told about a statement, hour by hour."""
    numbers = (each[statement].tolist() for each in (*baseline, rows))
    return [
        HourOfCalls(start, _delta(round(calls), seconds, squares, round(returned)))
        for start, calls, seconds, squares, returned in zip(starts, *numbers, strict=True)
        if calls
    ]


def _delta(calls: int, seconds: float, squares: float, rows: int) -> Delta:
    deviation = max(squares - seconds**2 / calls, 0.0) if calls > 1 else 0.0
    return Delta(calls, seconds, deviation, rows, 0, 0)


def _firing(holds: Bools, for_minutes: int, keep_minutes: int) -> Bools:
    """Return when an alert fires whose condition holds at these evaluations."""
    fires = holds.copy()
    for number in range(1, for_minutes // LOOK_MINUTES + 1):
        fires[number:] &= holds[:-number]
        fires[:number] = False
    kept = fires.copy()
    for number in range(1, keep_minutes // LOOK_MINUTES + 1):
        kept[number:] |= fires[:-number]
    return kept


def _begins(fires: Bools) -> int:
    return int(fires[0]) + int((fires[1:] & ~fires[:-1]).sum())

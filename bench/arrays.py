"""The decision rule on arrays: what `exporter.comparison` decides, for all windows of a week.

The code of the exporter decides on one window at a time, which takes too long for millions of them.
A test holds that both decide the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exporter.clock import HOURS_OF_A_DAY
from exporter.comparison.class_evidence import pass_z
from exporter.comparison.class_hours import median_of, pieces
from exporter.comparison.rule import (
    ENOUGH_COUNTED,
    EXCESS_FLOOR_SECONDS,
    EXCESS_FLOOR_SECONDS_A_CALL,
    FAIL_FLOOR_SECONDS_A_CALL,
    FAIL_Z,
    GREATEST_BASELINE_ERROR,
    GREATEST_CALL_ERROR,
    LAST_DAY_MARGIN,
    LEAST_CALLS,
    LEAST_CALLS_TO_PASS,
    LEAST_PIECES,
    LEAST_SLOW_SLICES,
    MISSING_NOW_RATIO,
    MISSING_ROWS_RATIO,
    PAGE,
    PASS_Z,
    SLICES,
    SLOWER,
    SPREAD_RATIO,
    USUAL_RATIO,
    AlertWindow,
)
from exporter.comparison.single_statements import (
    CountedStatement,
    StatementCalls,
    finding_nothing,
    hardly_called,
    surely_slower,
)
from exporter.comparison.sums import Sums
from exporter.comparison.window import limits_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from exporter.comparison.window_noise import BaselineNoise

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

LOOK_MINUTES = 5
"""Alerts are evaluated every five minutes."""


class Hours(NamedTuple):
    """A class hour by hour since the deployment. All its statements have a baseline."""

    sums: Floats
    """The six sums of `Sums`, by statement and hour."""
    rows: Floats
    expected_rows: Floats
    """By statement and hour, as the rows."""
    usual_calls: Floats
    shares: Floats
    """Of the calls of the baseline, by statement."""


class Looks(NamedTuple):
    """What the verdict says at the end of each hour; never both at once."""

    passed: Bools
    failed: Bools


class Compared(NamedTuple):
    """As `Change`, for many windows."""

    ratio: Floats
    z: Floats
    z_raw: Floats
    log_error: Floats
    call_error: Floats

    def bound(self, z: Floats | float) -> Floats:
        """Return the one-sided bound of each ratio."""
        bound: Floats = self.ratio * np.exp(z * self.log_error)
        return bound


def compare_all(sums: Floats, noise: BaselineNoise, tau: Floats | float) -> Compared:
    """Compare windows with their baseline, as `window.compare` does; without calls, R is 1.

    Args:
        sums: the six sums by window.
        noise: that of the baseline.
        tau: `BaselineNoise.log_stddev` of each window.
    """
    calls, seconds, expected, squared, variance, deviation = sums
    with np.errstate(all="ignore"):
        ratio, excess = seconds / expected, seconds - expected
        many = calls / np.maximum(calls - 1, 1)
        spread = np.where(
            calls > 1, np.maximum(deviation - (ratio - 1) ** 2 * squared, 0) * many, deviation
        )
        of_calls = np.maximum(spread, ratio**2 * variance) / seconds**2
        error = np.sqrt(of_calls + noise.relative_error**2 + tau**2)
        of_excess = np.where(
            calls > 1, np.maximum(deviation - excess**2 / calls, 0) * many, deviation
        )
        z_raw = excess / np.sqrt(of_excess + (noise.relative_error * expected) ** 2)
        z = np.log(ratio) / error
    known = (calls > 0) & (seconds > 0) & (expected > 0)
    return Compared(
        np.where(known, ratio, 1.0),
        np.where(known, z, 0.0),
        np.where(known, z_raw, 0.0),
        np.where(known, error, 100.0),
        np.where(known, np.sqrt(of_calls), 100.0),
    )


def slow_at(window: AlertWindow, sums: Floats, noise: BaselineNoise) -> Bools:
    """Return `window.is_slow` at each evaluation, for sums by minute; before a whole window, no."""
    cumulated = _cumulated(sums)
    ends = np.arange(LOOK_MINUTES, sums.shape[1] + 1, LOOK_MINUTES)
    minutes = round(60 * window.hours)
    limits = limits_of(window)
    whole = _between(cumulated, ends - minutes, ends)
    found = compare_all(whole, noise, noise.log_stddev(window.hours))
    slices = np.zeros(ends.size, dtype=int)
    for number in range(SLICES):
        end = ends - number * minutes // SLICES
        part = _between(cumulated, end - minutes // SLICES, end)
        slices += part[1] > limits.ratio * part[2]
    calls, excess = whole[0], whole[1] - whole[2]
    floor = np.minimum(EXCESS_FLOOR_SECONDS * window.hours, EXCESS_FLOOR_SECONDS_A_CALL * calls)
    slow: Bools = (
        (found.ratio > limits.ratio)
        & (found.z > limits.z)
        & (found.z_raw > limits.z_raw)
        & (calls >= LEAST_CALLS)
        & (slices >= LEAST_SLOW_SLICES)
        & (excess >= floor)
        & (ends >= minutes)
    )
    return slow


def looks(hours: Hours, noise: BaselineNoise, margin: float = SLOWER) -> Looks:
    """Return what `class_verdict.judge` says at the end of each hour.

    Nobody is at a psql and no statement is new, so coverage is no question.
    """
    summed = np.concatenate(
        [
            hours.sums.sum(1),
            [hours.rows.sum(0), hours.expected_rows.sum(0), hours.usual_calls],
        ]
    )
    ends = np.arange(1, summed.shape[1] + 1)
    whole = _Spans(summed, noise, np.zeros(ends.size, dtype=np.int64), ends)
    last = _Spans(summed, noise, np.maximum(ends - HOURS_OF_A_DAY, 0), ends)
    judged = (whole.total[0] >= LEAST_CALLS) & (noise.relative_error <= GREATEST_BASELINE_ERROR)
    failed = whole.misses_rows() | last.misses_rows()
    failed |= judged & (whole.is_slower(margin) | last.is_slower(margin))
    below = whole.change.bound(np.array([pass_z(end) for end in ends])) <= margin
    steady = (last.change.bound(PASS_Z) <= margin * LAST_DAY_MARGIN) | (ends <= HOURS_OF_A_DAY)
    enough = (whole.total[0] >= LEAST_CALLS_TO_PASS) & (
        whole.change.call_error <= GREATEST_CALL_ERROR
    )
    passed = judged & enough & below & steady & ~failed
    passed &= whole.is_usual() & last.is_usual() & ~_hardly_called_lately(summed)
    cumulated = np.cumsum(hours.sums, axis=2)
    rows = np.cumsum([hours.rows, hours.expected_rows], axis=2)
    for look in np.nonzero(passed)[0]:
        begins = {0, max(int(ends[look]) - HOURS_OF_A_DAY, 0)}
        statements = _statements(cumulated[:, :, look], rows[:, :, look])
        passed[look] = not (
            any(_is_wide(summed[:, begin : ends[look]]) for begin in begins)
            or surely_slower(statements, noise, int(ends[look]))
            or finding_nothing(statements)
        )
    usual = np.cumsum(hours.usual_calls)
    for look in np.nonzero(passed)[0]:
        passed[look] = not _is_missed(cumulated[0, :, look], float(usual[look]) * hours.shares)
    return Looks(passed, failed)


class _Spans:
    """As `class_hours.Span`, for many spans: from one of `begins` to one of `ends` each."""

    def __init__(self, summed: Floats, noise: BaselineNoise, begins: Ints, ends: Ints) -> None:
        cumulated = _cumulated(summed)
        self._noise, self._begins, self._ends = noise, begins, ends
        self._hours = _sums(summed[:6])
        self._pieces = list(pieces(self._hours))
        self.total = _between(cumulated, begins, ends)
        self.hours = ends - begins
        tau = np.array([noise.log_stddev(hours) for hours in self.hours])
        self.change = compare_all(self.total[:6], noise, tau)

    def misses_rows(self) -> Bools:
        """Return `class_reasons.rows_missing`."""
        return _ratio(self.total[6], self.total[7], 1.0) < MISSING_ROWS_RATIO

    def is_usual(self) -> Bools:
        """Return whether calls and rows per call are as usual."""
        least, most = USUAL_RATIO
        rows = _ratio(self.total[6], self.total[7], 1.0)
        calls = _ratio(self.total[0], self.total[8], 1.0)
        usual: Bools = (np.minimum(rows, calls) >= least) & (np.maximum(rows, calls) <= most)
        return usual

    def is_slower(self, margin: float) -> Bools:
        """Return `class_evidence.is_slower` and `costs_enough`."""
        calls, excess = self.total[0], self.total[1] - self.total[2]
        floor = np.minimum(EXCESS_FLOOR_SECONDS * self.hours, FAIL_FLOOR_SECONDS_A_CALL * calls)
        change = self.change
        slower: Bools = (
            (change.ratio > margin)
            & (change.z > FAIL_Z)
            & (change.z_raw > PAGE.z_raw)
            & (excess >= floor)
        )
        for look in np.nonzero(slower)[0]:
            ratio, z = median_of(self._logs(int(look)), self._noise, float(self.hours[look]))
            slower[look] = ratio is not None and ratio > margin and z > FAIL_Z
        return slower

    def _logs(self, look: int) -> list[float]:
        begin, end = self._begins[look], self._ends[look]
        if begin:
            return [log for _, log in pieces(self._hours[begin:end])]
        return [log for number, log in self._pieces if number <= end]


def _is_wide(hours: Floats) -> bool:
    """Return `Spread.is_wide` of these hours."""
    calls, _, _, squared, variance, deviation = hours[:6]
    enough = (calls >= LEAST_CALLS) & (variance > 0) & (squared > 0)
    if enough.sum() < LEAST_PIECES:
        return False
    to_baseline = np.median(deviation[enough] / variance[enough])
    to_mean = np.median(deviation[enough] / squared[enough])
    return bool(to_baseline > SPREAD_RATIO**2 and to_mean > 1.0)


def _is_missed(calls: Floats, usual: Floats) -> bool:
    """Return whether a statement is called too seldom beside the others."""
    others, others_usual = calls.sum() - calls, usual.sum() - usual
    counted = [
        CountedStatement("", round(each[0]), each[1], round(each[2]), each[3])
        for each in zip(*(x.tolist() for x in (calls, usual, others, others_usual)), strict=True)
    ]
    return bool(hardly_called(counted))


def _hardly_called_lately(summed: Floats) -> Bools:
    """Return `counted_reasons._hardly_called_lately` at the end of each hour."""
    calls, usual = _cumulated(summed)[[0, 8]]
    ends = np.arange(1, calls.size)
    # The latest hour from which on enough calls are usual; before there is one, nothing is said.
    begins = np.searchsorted(usual, usual[ends] - ENOUGH_COUNTED, side="right") - 1
    known = usual[ends] >= ENOUGH_COUNTED
    begins = np.maximum(begins, 0)
    few = (calls[ends] - calls[begins]) < MISSING_NOW_RATIO * (usual[ends] - usual[begins])
    lately: Bools = few & known
    return lately


def _statements(sums: Floats, rows: Floats) -> list[StatementCalls]:
    """Return the statements of a class until an hour."""
    returned = rows.T.tolist()
    return [
        StatementCalls("", each, round(seen), expected)
        for each, (seen, expected) in zip(_sums(sums), returned, strict=True)
    ]


def _sums(sums: Floats) -> list[Sums]:
    """Return the columns as the exporter has them."""
    return [Sums(round(calls), *others) for calls, *others in sums.T.tolist()]


def _ratio(seen: Floats, expected: Floats, unknown: float) -> Floats:
    with np.errstate(all="ignore"):
        ratio = np.where(expected > 0, seen / expected, np.inf)
    return np.where(np.maximum(seen, expected) >= ENOUGH_COUNTED, ratio, unknown)


def _cumulated(sums: Floats) -> Floats:
    return np.concatenate([np.zeros((len(sums), 1)), np.cumsum(sums, axis=1)], axis=1)


def _between(cumulated: Floats, begins: Ints, ends: Ints) -> Floats:
    """Return the sums from one slot to another; a span before the first slot is cut off."""
    return cumulated[:, np.maximum(ends, 0)] - cumulated[:, np.maximum(begins, 0)]

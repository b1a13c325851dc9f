"""Compares the calls of a window with the baseline, and decides whether the window is slow.

The alert rules do the same in PromQL, by the same formulas and limits; a test compares the two.
"""

import math
from collections.abc import Sequence
from functools import reduce

from exporter.comparison.rule import (
    EXCESS_FLOOR_SECONDS,
    EXCESS_FLOOR_SECONDS_A_CALL,
    FAST_PAGE,
    FAST_WINDOW,
    LEAST_CALLS,
    LEAST_COVERAGE,
    LEAST_ERROR,
    LEAST_SLOW_SLICES,
    PAGE,
    PASS_Z,
    AlertWindow,
    Change,
    Limits,
)
from exporter.comparison.sums import Sums, excess_spread, relative_variance
from exporter.comparison.window_noise import BaselineNoise

# A relative standard error above which the exponential says nothing more.
_GREATEST_ERROR = 100.0


def compare(sums: Sums, noise: BaselineNoise, hours: float) -> Change | None:
    """Compare the calls of a window with their baseline; None if none of them took time.

        R     = T/E
        v     = max(v_raw, R²·W)             not below the baseline's own spread
        z     = ln R / sqrt(v/T² + ε² + τ²)
        z_raw = (T - E) / sqrt(max(D - (T-E)²/N, 0) · N/(N-1) + ε²·E²)

    The error of ln R is that of the delta method. z_raw takes the spread of the excess of each
    call about the mean excess: whatever the statements, one call then cannot get beyond 1, nor j
    equal ones much beyond √j. The lower and the upper bound are one-sided, at 95 % each.

    Args:
        sums: of the calls in the window.
        noise: that of the baseline, the roles pooled.
        hours: how long the window is, in hours of the baseline.
    """
    if sums.calls <= 0 or not sums.seconds > 0 or not sums.expected_seconds > 0:
        return None
    ratio = sums.seconds / sums.expected_seconds
    of_calls = relative_variance(sums)
    error = math.sqrt(of_calls + noise.relative_error**2 + noise.log_stddev(hours) ** 2)
    error = min(max(error, LEAST_ERROR), _GREATEST_ERROR)
    raw_error = math.sqrt(excess_spread(sums) + (noise.relative_error * sums.expected_seconds) ** 2)
    least = LEAST_ERROR * max(sums.seconds, sums.expected_seconds)
    return Change(
        ratio=ratio,
        lower=ratio * math.exp(-PASS_Z * error),
        upper=ratio * math.exp(PASS_Z * error),
        z=math.log(ratio) / error,
        z_raw=sums.excess_seconds / max(raw_error, least),
        calls=sums.calls,
        seconds=sums.seconds,
        expected_seconds=sums.expected_seconds,
        baseline_error=noise.relative_error,
        log_error=error,
        call_error=min(math.sqrt(of_calls), _GREATEST_ERROR),
    )


def is_slow(
    window: AlertWindow,
    slices: Sequence[Sums],
    noise: BaselineNoise,
    coverage: float,
    hour_seconds: float = 3600.0,
) -> bool:
    """Return whether one window has all that an alert asks of it.

    It exceeds the limits, and R alone does so in three of its five slices.

    Args:
        window: one of `ALERT_WINDOWS`.
        slices: the sums of its five parts.
        noise: that of the baseline, the roles pooled.
        coverage: seconds of statements with a baseline over all seconds of the class.
        hour_seconds: how long an hour is; shorter in a rehearsal.
    """
    ratio = limits_of(window).ratio
    slow = sum(each.seconds > ratio * each.expected_seconds for each in slices)
    total = reduce(Sums.plus, slices, Sums())
    return slow >= LEAST_SLOW_SLICES and exceeds_limits(
        window, total, noise, coverage, hour_seconds
    )


def exceeds_limits(
    window: AlertWindow,
    sums: Sums,
    noise: BaselineNoise,
    coverage: float,
    hour_seconds: float = 3600.0,
) -> bool:
    """Return whether R, z and z_raw of a window are beyond its limits, and that counts.

    There are enough calls, a baseline is known for most of their time, and the slow-down costs
    enough. The arguments are those of `is_slow`, but for the sums of the whole window.
    """
    limits, found = limits_of(window), compare(sums, noise, window.hours)
    return (
        found is not None
        and found.ratio > limits.ratio
        and found.z > limits.z
        and found.z_raw > limits.z_raw
        and found.calls >= LEAST_CALLS
        and coverage > LEAST_COVERAGE
        and is_worth_an_alert(sums, window.hours * hour_seconds)
    )


def limits_of(window: AlertWindow) -> Limits:
    """Return what R, z and z_raw must exceed in a window."""
    return FAST_PAGE if window == FAST_WINDOW else PAGE


def is_worth_an_alert(sums: Sums, seconds: float) -> bool:
    """Return whether the excess is at least 1 s in an hour, or 50 ms a call.

    Args:
        sums: of the window.
        seconds: how long the window is.
    """
    floor = EXCESS_FLOOR_SECONDS * seconds / 3600
    return sums.excess_seconds >= min(floor, EXCESS_FLOOR_SECONDS_A_CALL * sums.calls)

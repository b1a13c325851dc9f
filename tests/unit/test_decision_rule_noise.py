"""How uncertain a baseline is estimated to be, by the length of a window."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.comparison.robust import robust_stddev, stddev_between
from exporter.comparison.sums import Sums
from exporter.comparison.window_noise import (
    DEFAULT_LOG_STDDEV,
    BaselineNoise,
    pooled_noise,
    window_noise,
)

HOUR = 3600.0
VALUES = st.lists(st.tuples(st.floats(-3.0, 3.0), st.floats(0.0, 1.0)), min_size=2, max_size=40)
SHARE = st.one_of(st.just(0.0), st.floats(1e-4, 0.5))
NOISES = st.builds(BaselineNoise, SHARE, SHARE, SHARE, SHARE)


def even_hour(log_ratio: float, calls: int = 100) -> Sums:
    """Return calls that are all alike and take 10 ms in the baseline, without a spread."""
    expected, ratio = 0.01 * calls, math.exp(log_ratio)
    return Sums(
        calls, expected * ratio, expected, expected * 0.01, 0.0, expected * 0.01 * (ratio - 1) ** 2
    )


def noisy_hours(count: int, stddev: float, correlation: float, seed: int) -> dict[float, Sums]:
    """Return hours whose logarithms are an autoregressive series."""
    draw = random.Random(seed)
    level, hours = draw.gauss(0.0, stddev), {}
    for number in range(count):
        hours[HOUR * number] = even_hour(level)
        step = math.sqrt(1 - correlation**2)
        level = correlation * level + step * draw.gauss(0.0, stddev)
    return hours


@given(VALUES)
def test_stddev_between_makes_standardised_values_unit_wide(
    measured: list[tuple[float, float]],
) -> None:
    values, variances = [list(each) for each in zip(*measured, strict=True)]
    tau = stddev_between(values, variances)
    centre = statistics.median(values)

    def width(by: float) -> float:
        return robust_stddev(
            [
                (y - centre) / math.sqrt(v + by**2 + 1e-18)
                for y, v in zip(values, variances, strict=True)
            ]
        )

    assert width(tau * 1.0001) <= 1 + 1e-3
    if tau > 1e-3:  # it is found to a millionth of the range of the values
        assert width(tau * 0.99) >= 1 - 1e-3


@given(VALUES, st.floats(0.1, 10.0))
def test_stddev_between_has_the_unit_of_its_values(
    measured: list[tuple[float, float]], unit: float
) -> None:
    values, variances = zip(*measured, strict=True)
    scaled = stddev_between([y * unit for y in values], [v * unit**2 for v in variances])
    assert scaled == pytest.approx(stddev_between(values, variances) * unit, rel=1e-3, abs=1e-3)


def test_stddev_between_is_found_among_values_of_any_certainty() -> None:
    draw = random.Random(1)
    variances = [draw.choice((0.0001, 0.01, 0.25)) for _ in range(400)]
    values = [draw.gauss(0.0, math.sqrt(0.04 + v)) for v in variances]
    assert stddev_between(values, variances) == pytest.approx(0.2, rel=0.15)


def test_a_third_of_odd_values_hardly_moves_it() -> None:
    draw = random.Random(2)
    values = [draw.gauss(0.0, 0.1) for _ in range(200)] + [5.0 + number for number in range(60)]
    assert stddev_between(values, [0.0] * len(values)) < 0.2


def test_spread_of_calls_is_not_taken_for_noise_of_hours() -> None:
    draw = random.Random(3)
    hours = {}
    for number in range(168):
        times = [draw.lognormvariate(-0.125, 0.5) for _ in range(100)]
        mean = statistics.fmean(times)
        deviation = math.fsum((each - 1) ** 2 for each in times)
        hours[HOUR * number] = Sums(100, 100 * mean, 100.0, 100.0, 28.4, deviation)
    logs = [math.log(sums.seconds / sums.expected_seconds) for sums in hours.values()]
    assert statistics.stdev(logs) > 0.045
    assert window_noise(hours, 0.0).hour < 0.02


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_independent_hours_average_out_and_correlated_ones_less(seed: int) -> None:
    independent = window_noise(noisy_hours(28 * 24, 0.15, 0.0, seed), 0.0)
    correlated = window_noise(noisy_hours(28 * 24, 0.15, 0.9, seed), 0.0)
    assert independent.hour == pytest.approx(0.15, rel=0.12)
    assert correlated.hour == pytest.approx(0.15, rel=0.3)
    assert independent.six_hours == pytest.approx(0.15 / math.sqrt(6), rel=0.3)
    assert correlated.six_hours > 0.8 * correlated.hour
    assert correlated.day > 1.8 * independent.day


def test_longer_window_is_never_noisier_than_few_blocks_allow() -> None:
    """Without a single block of a length, its noise is that of the length below."""
    found = window_noise(noisy_hours(10, 0.3, 0.0, 7), 0.0)
    assert found.day == found.six_hours
    assert found.six_hours >= found.hour / math.sqrt(6)
    assert window_noise({}, 0.0) == BaselineNoise(*[DEFAULT_LOG_STDDEV] * 4)


def test_few_even_hours_do_not_make_a_quiet_baseline() -> None:
    few = {HOUR * number: even_hour(0.0) for number in range(5)}
    many = {HOUR * number: even_hour(0.0) for number in range(200)}
    assert window_noise(few, 0.0).hour == DEFAULT_LOG_STDDEV
    assert window_noise(many, 0.0).hour == pytest.approx(0.0, abs=1e-6)


def test_error_of_the_baseline_is_that_of_its_calls_and_of_its_days() -> None:
    week = window_noise(noisy_hours(168, 0.15, 0.7, 8), 0.03)
    assert week.relative_error == pytest.approx(math.hypot(0.03, week.day / math.sqrt(7)))
    month = window_noise(noisy_hours(28 * 24, 0.15, 0.7, 8), 0.03)
    # The mean is that of the last seven days, however long the baseline is.
    assert month.relative_error == pytest.approx(math.hypot(0.03, month.day / math.sqrt(7)))
    short = window_noise(noisy_hours(6, 0.15, 0.7, 8), 0.03)
    assert short.relative_error == pytest.approx(math.hypot(0.03, short.six_hours))


def test_hours_with_few_calls_say_nothing() -> None:
    hours = noisy_hours(168, 0.1, 0.0, 9)
    spoilt = dict(hours)
    for number in range(60):
        spoilt[HOUR * (168 + number)] = even_hour(3.0, calls=4)
    assert window_noise(spoilt, 0.0).hour == pytest.approx(window_noise(hours, 0.0).hour)


def test_minutes_of_a_short_capture_are_no_better_known_than_hours() -> None:
    minutes = {60.0 * number: even_hour(0.0) for number in range(30)}
    assert window_noise(minutes, 0.0, bucket_seconds=60.0).hour == DEFAULT_LOG_STDDEV
    noisy = {
        60.0 * number: sums for number, sums in enumerate(noisy_hours(30, 0.4, 0.0, 10).values())
    }
    assert window_noise(noisy, 0.0, bucket_seconds=60.0).hour > 0.25


def test_hours_of_a_rehearsal_are_hours() -> None:
    real = noisy_hours(168, 0.15, 0.5, 11)
    fast = {start / 120: sums for start, sums in real.items()}
    assert window_noise(fast, 0.0, bucket_seconds=30.0, hour_seconds=30.0) == window_noise(
        real, 0.0
    )


@given(st.lists(st.tuples(st.floats(1e-3, 1e3), NOISES), min_size=1, max_size=5))
def test_roles_together_are_no_noisier_than_the_noisiest(
    parts: list[tuple[float, BaselineNoise]],
) -> None:
    found = pooled_noise(parts)
    for name in ("relative_error", "hour", "six_hours", "day"):
        worst = max(getattr(noise, name) for _, noise in parts)
        assert getattr(found, name) <= worst * (1 + 1e-9)


def test_errors_of_roles_are_independent_and_their_slow_hours_are_not() -> None:
    found = pooled_noise([(1.0, BaselineNoise(0.1, 0.1, 0.08, 0.06))] * 4)
    assert astuple(found) == pytest.approx((0.05, 0.1, 0.08, 0.06))
    assert pooled_noise([]) == pooled_noise([(0.0, BaselineNoise(1, 1, 1, 1))]) == BaselineNoise()

"""What a baseline is estimated to be, and how certain that is."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.comparison.noise import (
    DEFAULT_HOUR_LOG_STDDEV,
    Profile,
    noise,
    profile,
    robust_stddev,
)
from exporter.comparison.rule import Sums
from exporter.statements.counters import Delta

HOURS = st.lists(st.lists(st.floats(1e-4, 10.0), min_size=1, max_size=20), min_size=1, max_size=30)


def _hour(calls: list[float]) -> Delta:
    squared = statistics.pvariance(calls) * len(calls)
    return Delta(len(calls), math.fsum(calls), squared, 0, 0, 0)


def _even_hour(ratio: float, calls: int = 100) -> Sums:
    """Return an hour of calls that are all alike, of 1 s in the baseline."""
    return Sums(calls, calls * ratio, calls, calls, 0.0, calls * (ratio - 1) ** 2)


@given(HOURS)
def test_mean_and_whole_variance_are_those_of_all_calls(hours: list[list[float]]) -> None:
    found = profile([_hour(calls) for calls in hours])
    calls = [seconds for hour in hours for seconds in hour]
    assert found.calls == len(calls)
    assert found.mean_seconds == pytest.approx(statistics.fmean(calls))
    if len(calls) > 1:
        exact = statistics.variance(calls)
        assert found.whole_variance == pytest.approx(exact, rel=1e-6, abs=1e-9)


@given(st.lists(st.floats(0.01, 0.02), min_size=2, max_size=10), st.integers(10, 45))
def test_one_hour_in_20_does_not_inflate_the_variance(quiet: list[float], count: int) -> None:
    odd = max(count // 20, 1)
    found = profile([_hour([*quiet, 60.0])] * odd + [_hour(quiet)] * (count - odd))
    assert found.variance <= 0.01**2
    assert found.whole_variance > 0.1
    more = profile([_hour([*quiet, 60.0])] * (odd + 1) + [_hour(quiet)] * (count - odd - 1))
    assert more.variance > 0.1


def test_few_hours_are_all_needed() -> None:
    found = profile([_hour([0.01, 60.0]), *[_hour([0.01, 0.02])] * 8])
    assert found.variance == pytest.approx(found.whole_variance)


def test_single_call_stands_for_its_own_spread() -> None:
    assert profile([_hour([0.2])]) == pytest.approx((1, 0.2, 0.04, 0.04))


def test_noise_of_even_calls_is_that_between_hours() -> None:
    source = random.Random(3)
    hours = [_even_hour(math.exp(source.gauss(0.0, 0.1))) for _ in range(400)]
    found = noise([Profile(40_000, 1.0, 0.0, 0.0)], hours)
    assert found.hour_log_stddev == pytest.approx(0.1, rel=0.1)
    assert found.relative_error == pytest.approx(found.hour_log_stddev / 20)


def test_spread_of_calls_is_not_taken_for_noise_between_hours() -> None:
    source = random.Random(4)
    hours = [_hour([source.lognormvariate(0.0, 0.5) for _ in range(100)]) for _ in range(100)]
    known = profile(hours)
    sums = [
        Sums(
            hour.calls,
            hour.seconds,
            hour.calls * known.mean_seconds,
            hour.calls * known.mean_seconds**2,
            0.0,
            hour.squared_deviation
            + hour.calls * (hour.seconds / hour.calls - known.mean_seconds) ** 2,
        )
        for hour in hours
    ]
    logs = [
        math.log(hour.seconds / one.expected_seconds) for hour, one in zip(hours, sums, strict=True)
    ]
    assert statistics.stdev(logs) > 0.045
    assert noise([known], sums).hour_log_stddev < 0.025


def test_error_is_that_of_the_mean_over_all_statements() -> None:
    profiles = [Profile(100, 1.0, 0.0, 0.5), Profile(50, 2.0, 0.0, 3.0)]
    found = noise(profiles, [_even_hour(1.0)] * 20)
    assert found == pytest.approx((math.sqrt(200) / 200, 0.0))


@pytest.mark.parametrize(
    ("hours", "least"),
    [
        ([], DEFAULT_HOUR_LOG_STDDEV),
        ([_even_hour(1.0)] * 9, DEFAULT_HOUR_LOG_STDDEV),
        ([_even_hour(1.0)] * 10, 0.0),
        ([_even_hour(1.0)] * 9 + [_even_hour(2.0, calls=4)] * 9, DEFAULT_HOUR_LOG_STDDEV),
    ],
)
def test_few_hours_do_not_prove_that_hours_are_alike(hours: list[Sums], least: float) -> None:
    assert noise([Profile(100, 1.0, 0.0, 0.0)], hours).hour_log_stddev == pytest.approx(least)


def test_few_hours_can_prove_that_they_are_not_alike() -> None:
    hours = [_even_hour(ratio) for ratio in (0.5, 1.0, 2.0)]
    assert noise([Profile(300, 1.0, 0.0, 0.0)], hours).hour_log_stddev > 0.3


def test_class_that_took_no_time_has_no_error_of_its_mean() -> None:
    assert noise([], []) == (DEFAULT_HOUR_LOG_STDDEV, DEFAULT_HOUR_LOG_STDDEV)


@pytest.mark.parametrize("count", [2, 3, 5, 8, 10, 20, 168])
def test_robust_stddev_is_unbiased_in_samples_of_any_size(count: int) -> None:
    source = random.Random(5)
    found = [
        robust_stddev([source.gauss(3.0, 0.1) for _ in range(count)])
        for _ in range(20_000 // count)
    ]
    assert statistics.fmean(found) == pytest.approx(0.1, rel=0.05)


def test_robust_stddev_bears_odd_values() -> None:
    source = random.Random(6)
    values = [source.gauss(0.0, 0.1) for _ in range(20)]
    assert robust_stddev([*values[2:], 8.0, -8.0]) < 0.2

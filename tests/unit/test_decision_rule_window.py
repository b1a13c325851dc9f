"""The comparison of one window, and what an alert asks of it, with sums made by hand."""

from __future__ import annotations

import math
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.comparison.rule import (
    ALERT_WINDOWS,
    FAST_PAGE,
    FAST_WINDOW,
    LEAST_SLOW_SLICES,
    PAGE,
    PAGE_WINDOWS,
    SLICES,
    TICKET_WINDOW,
)
from exporter.comparison.sums import Sums, contribution
from exporter.comparison.window import compare, exceeds_limits, is_slow, is_worth_an_alert
from exporter.comparison.window_noise import BaselineNoise
from exporter.statements.counters import Delta

HOUR, SIX_HOURS = PAGE_WINDOWS
NOISE = BaselineNoise(0.02, 0.05, 0.04, 0.03)
SHARE = st.one_of(st.just(0.0), st.floats(1e-4, 0.5))
NOISES = st.builds(BaselineNoise, SHARE, SHARE, SHARE, SHARE)
AMOUNT = st.one_of(st.just(0.0), st.floats(1e-9, 1e9))
SUMS = st.builds(Sums, st.integers(0, 10**9), *[AMOUNT] * 5)
SECONDS = st.floats(1e-5, 10.0)


def even(calls: int, ratio: float, mean: float = 0.1) -> Sums:
    """Return calls that all take `ratio` times the mean, which spread by a tenth before."""
    expected = calls * mean
    deviation = calls * (mean * (ratio - 1)) ** 2
    return Sums(
        calls, expected * ratio, expected, expected * mean, calls * 0.01 * mean**2, deviation
    )


def calls_of(times: list[float], mean: float) -> Sums:
    total = math.fsum(times)
    squared = math.fsum((each - total / len(times)) ** 2 for each in times)
    return contribution(Delta(len(times), total, squared, 0, 0, 0), mean, 0.0)


def five(*slices: Sums) -> list[Sums]:
    assert len(slices) == SLICES
    return list(slices)


def test_change_is_the_formula_of_the_document() -> None:
    found = compare(Sums(100, 3.0, 2.0, 0.05, 0.01, 0.09), BaselineNoise(0.05, 0.1, 0.08, 0.06), 6)
    v_raw = (0.09 - 0.25 * 0.05) * 100 / 99
    error = math.sqrt(max(v_raw, 2.25 * 0.01) / 9.0 + 0.05**2 + 0.08**2)
    v_one = (0.09 - 1.0 / 100) * 100 / 99
    assert found is not None
    assert found._asdict() == pytest.approx(
        {
            "ratio": 1.5,
            "lower": 1.5 * math.exp(-1.64 * error),
            "upper": 1.5 * math.exp(1.64 * error),
            "z": math.log(1.5) / error,
            "z_raw": 1.0 / math.sqrt(v_one + (0.05 * 2.0) ** 2),
            "calls": 100,
            "seconds": 3.0,
            "expected_seconds": 2.0,
            "baseline_error": 0.05,
            "log_error": error,
            "call_error": math.sqrt(max(v_raw, 2.25 * 0.01)) / 3.0,
        }
    )
    assert found.bound(1.64) == pytest.approx(found.upper)
    assert found.bound(-1.64) == pytest.approx(found.lower)


@pytest.mark.parametrize(
    ("hours", "tau"),
    [
        (0.25, 0.1),
        (1, 0.1),
        (5.9, 0.1),
        (6, 0.08),
        (23, 0.08),
        (24, 0.06),
        (96, 0.06 / 2),
        (168, 0.06 / math.sqrt(7)),
        (1000, 0.06 / math.sqrt(7)),
    ],
)
def test_noise_is_that_of_the_longest_block_and_averages_out_over_days_alone(
    hours: float, tau: float
) -> None:
    assert BaselineNoise(0.0, 0.1, 0.08, 0.06).log_stddev(hours) == pytest.approx(tau)


@pytest.mark.parametrize("window", ALERT_WINDOWS)
def test_noise_of_an_alert_window_is_that_of_the_blocks_it_names(window: object) -> None:
    """So that a rule of Prometheus can select the exported τ by `noise_hours`."""
    assert isinstance(window, type(HOUR))
    by_length = {1: NOISE.hour, 6: NOISE.six_hours, 24: NOISE.day}
    assert NOISE.log_stddev(window.hours) == by_length[window.noise_hours]
    assert window.slice_hours * SLICES == pytest.approx(window.hours)


@given(SUMS, NOISES, st.floats(0.0, 1e4))
def test_change_is_finite_whatever_rounding_has_made_of_the_sums(
    sums: Sums, noise: BaselineNoise, hours: float
) -> None:
    found = compare(sums, noise, hours)
    assert (found is None) == (not sums.calls or not sums.seconds or not sums.expected_seconds)
    if found:
        assert all(math.isfinite(number) for number in found)
        assert 0 <= found.lower <= found.ratio <= found.upper


@given(st.lists(st.floats(0.1, 1.0), min_size=1, max_size=30), SECONDS, st.floats(1.0, 1e5), NOISES)
def test_one_call_that_explains_the_excess_is_no_evidence(
    shares: list[float], mean: float, times: float, noise: BaselineNoise
) -> None:
    found = compare(calls_of([*(mean * share for share in shares), mean * times], mean), noise, 1)
    assert found is not None
    assert found.z_raw <= 1 + 1e-6


@given(st.lists(st.tuples(SECONDS, st.integers(1, 10_000)), min_size=1, max_size=6), NOISES)
def test_another_mix_of_statements_is_no_change(
    mix: list[tuple[float, int]], noise: BaselineNoise
) -> None:
    parts = [even(calls, 1.0, mean) for mean, calls in mix]
    found = compare(reduce(Sums.plus, parts), noise, 1)
    assert found is not None
    assert found.ratio == pytest.approx(1.0)
    assert (found.z, found.z_raw) == pytest.approx((0.0, 0.0), abs=1e-6)


@given(SUMS, NOISES, st.sampled_from([0.25, 1.0, 6.0, 24.0]))
def test_more_noise_is_less_evidence(sums: Sums, noise: BaselineNoise, hours: float) -> None:
    noisier = BaselineNoise(
        2 * noise.relative_error, 2 * noise.hour, 2 * noise.six_hours, 2 * noise.day
    )
    before, after = compare(sums, noise, hours), compare(sums, noisier, hours)
    if before and after:
        assert abs(after.z) <= abs(before.z) * (1 + 1e-9)
        assert after.ratio == before.ratio


@pytest.mark.parametrize("window", [HOUR, SIX_HOURS, TICKET_WINDOW])
def test_twice_the_time_is_slow_in_each_window_and_ordinary_time_is_not(window: object) -> None:
    assert isinstance(window, type(HOUR))
    assert is_slow(window, [even(500, 2.0)] * SLICES, NOISE, 1.0)
    assert not is_slow(window, [even(500, 1.0)] * SLICES, NOISE, 1.0)


def test_fast_window_asks_for_three_times_the_time() -> None:
    assert is_slow(FAST_WINDOW, [even(100, 3.1)] * SLICES, NOISE, 1.0)
    assert not is_slow(FAST_WINDOW, [even(100, 2.9)] * SLICES, NOISE, 1.0)
    assert FAST_PAGE > PAGE


def test_stall_is_no_slow_down() -> None:
    """All the excess in two slices of five, however large; in three, it is a slow-down."""
    stalled = even(100, 30.0)
    for window in (FAST_WINDOW, HOUR, TICKET_WINDOW):
        two = five(stalled, even(100, 1.0), stalled, even(100, 1.0), Sums())
        assert exceeds_limits(window, reduce(Sums.plus, two), NOISE, 1.0)
        assert not is_slow(window, two, NOISE, 1.0)
        assert is_slow(window, five(stalled, *two[1:4], even(100, 4.0)), NOISE, 1.0)
    assert LEAST_SLOW_SLICES == 3


@pytest.mark.parametrize(
    ("sums", "noise", "coverage", "why"),
    [
        (even(500, 1.19), NOISE, 1.0, "R"),
        (even(500, 1.5), BaselineNoise(0.02, 0.2), 1.0, "z"),
        (calls_of([0.1] * 400 + [40.0, 40.0], 0.1), BaselineNoise(), 1.0, "z_raw"),
        (even(4, 20.0), NOISE, 1.0, "calls"),
        (even(500, 2.0), NOISE, 0.8, "coverage"),
        (even(500, 2.0, 0.001), NOISE, 1.0, "cost"),
    ],
)
def test_window_that_misses_one_limit_is_not_slow(
    sums: Sums, noise: BaselineNoise, coverage: float, why: str
) -> None:
    assert exceeds_limits(HOUR, even(500, 2.0), NOISE, 0.81)
    assert not exceeds_limits(HOUR, sums, noise, coverage), why


@pytest.mark.parametrize(
    ("calls", "excess", "seconds", "is_enough"),
    [
        (100, 1.0, 3600, True),
        (100, 0.99, 3600, False),
        (10, 0.5, 3600, True),  # 50 ms a call
        (10, 0.49, 3600, False),
        (1000, 0.25, 900, True),
        (100_000, 6.0, 6 * 3600, True),
        (100_000, 5.9, 6 * 3600, False),
        (1000, 0.01, 30, True),  # an hour of a rehearsal
    ],
)
def test_slow_down_costs_a_second_an_hour_or_50_ms_a_call(
    calls: int, excess: float, seconds: float, is_enough: bool
) -> None:
    assert is_worth_an_alert(Sums(calls, 1.0 + excess, 1.0), seconds) is is_enough


def test_floor_of_a_rehearsal_is_that_of_its_hour() -> None:
    window = even(500, 2.0, 0.001)  # costs 0.5 s
    assert not exceeds_limits(HOUR, window, NOISE, 1.0)
    assert exceeds_limits(HOUR, window, NOISE, 1.0, hour_seconds=30.0)

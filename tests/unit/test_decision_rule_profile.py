"""What is expected of a statement: its level, its rhythm, and the hours that are left out."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.clock import HOURS_OF_A_WEEK, Clock
from exporter.comparison.incidents import HourOfCalls, incidents
from exporter.comparison.profile import mean_error, moved, statement_profile, usual_calls
from exporter.statements.counters import Delta

HOUR = 3600.0
MONDAY = 4 * 86_400.0
TIMES = st.lists(st.floats(1e-3, 10.0), min_size=1, max_size=10)


def delta_of(times: list[float], rows: int = 0, blocks: int = 0) -> Delta:
    squared = statistics.pvariance(times) * len(times)
    return Delta(len(times), math.fsum(times), squared, rows, blocks, blocks)


def hours_of(*times: list[float]) -> list[HourOfCalls]:
    return [
        HourOfCalls(MONDAY + HOUR * number, delta_of(each))
        for number, each in enumerate(times)
        if each
    ]


def ended(hours: list[HourOfCalls]) -> float:
    return hours[-1].start + HOUR


@given(st.lists(TIMES, min_size=1, max_size=9))
def test_few_hours_are_all_needed(times: list[list[float]]) -> None:
    hours = hours_of(*times)
    found = statement_profile(hours, ended(hours))
    calls = [each for hour in times for each in hour]
    assert (found.calls, found.left_out) == (len(calls), frozenset())
    assert found.mean_seconds == pytest.approx(statistics.fmean(calls))
    assert found.moved == pytest.approx(1.0)
    if len(calls) > 1:
        assert found.whole_variance == pytest.approx(statistics.variance(calls), abs=1e-9)


def test_single_call_stands_for_its_own_spread() -> None:
    found = statement_profile(hours_of([0.2]), MONDAY + HOUR)
    assert (found.mean_seconds, found.variance) == pytest.approx((0.2, 0.04))


@pytest.mark.parametrize("calls", [2, 60])
def test_incident_is_left_out_of_the_mean_and_told(calls: int) -> None:
    """Of a hundred hours of 10 ms; beside 60 calls of 20 s even a tenfold slow-down would hide."""
    usual = [[0.009, 0.011] * 20] * 100
    hours = hours_of(*usual[:50], [0.01] * 20 + [20.0] * max(calls, 4), *usual[50:])
    found = statement_profile(hours, ended(hours))
    assert found.left_out == {MONDAY + 50 * HOUR}
    assert found.mean_seconds == pytest.approx(0.01)
    assert found.variance < 1e-5
    assert found.moved > 2


def test_one_long_call_is_not_left_out_but_makes_the_mean_uncertain() -> None:
    usual = [[0.009, 0.011] * 20] * 100
    hours = hours_of(*usual[:50], [0.01] * 39 + [20.0], *usual[50:])
    found = statement_profile(hours, ended(hours))
    assert found.left_out == frozenset()
    assert found.mean_seconds == pytest.approx(0.01 + 20 / 4040, rel=0.01)
    assert mean_error([found]) > 0.3
    assert found.variance < 1e-3  # so that a regression is not hidden by the spread, too


def test_bad_hours_of_a_skewed_statement_are_no_incidents() -> None:
    """Leaving out the worst 5 % of hours would lower this mean by a third."""
    draw = random.Random(1)
    hours = hours_of(*([draw.lognormvariate(-1.125, 1.5)] for _ in range(400)))
    assert incidents(hours) == frozenset()


def test_at_most_one_hour_in_twenty_is_left_out() -> None:
    usual, bad = [0.009, 0.011] * 20, [1.0] * 10
    hours = hours_of(*[usual] * 92, *[bad] * 8)
    assert len(incidents(hours)) == 5
    assert len(incidents(hours_of(*[usual] * 8, bad))) == 0


@pytest.mark.parametrize("days", [7, 28])
def test_job_of_every_night_is_no_incident_and_one_night_is(days: int) -> None:
    hours = daily(night=5.0, days=days, noise=0.05)
    found = statement_profile(hours, ended(hours))
    assert found.left_out == frozenset()
    assert found.expected(2).mean_seconds == pytest.approx(0.05, rel=0.1)
    hours[40] = HourOfCalls(hours[40].start, delta_of([0.09, 0.11] * 20))
    assert statement_profile(hours, ended(hours)).left_out == {hours[40].start}


def test_job_of_every_sunday_is_no_incident() -> None:
    hours = daily(night=1.0, days=28, noise=0.05)
    for week in range(4):
        number = 24 * (7 * week + 6) + 3
        hours[number] = HourOfCalls(hours[number].start, delta_of([0.09, 0.11] * 20))
    assert incidents(hours) == frozenset()


@given(st.lists(TIMES, min_size=10, max_size=60))
def test_what_is_left_out_only_lowers_the_mean(times: list[list[float]]) -> None:
    hours = hours_of(*times)
    found = statement_profile(hours, ended(hours))
    assert len(found.left_out) <= max(len(hours) // 20, 1)
    assert found.moved >= 1 - 1e-9


def test_level_is_that_of_the_last_seven_days() -> None:
    hours = hours_of(*[[0.01] * 10] * (21 * 24), *[[0.02] * 10] * (7 * 24))
    found = statement_profile(hours, ended(hours))
    assert found.mean_seconds == pytest.approx(0.02)
    assert found.calls == 7 * 24 * 10
    assert found.level == pytest.approx(0.02 / 0.0125)


def test_statement_that_was_not_called_lately_keeps_its_level() -> None:
    hours = hours_of(*[[0.01] * 10] * 24)
    found = statement_profile(hours, ended(hours) + 30 * 86_400)
    assert found.calls == 240
    assert found.mean_seconds == pytest.approx(0.01)


def daily(night: float, days: int, calls: int = 40, noise: float = 0.0) -> list[HourOfCalls]:
    """Return days of 10 ms a call, and at 2 h `night` times as much."""
    draw = random.Random(2)
    times = []
    for hour in range(24 * days):
        level = 0.01 * (night if hour % 24 == 2 else 1.0) * math.exp(draw.gauss(0.0, noise))
        times.append([level * 0.9, level * 1.1] * (calls // 2))
    return hours_of(*times)


def test_hour_of_the_day_has_an_expectation_of_its_own_where_that_is_evident() -> None:
    hours = daily(night=1.9, days=7, noise=0.05)
    found = statement_profile(hours, ended(hours))
    assert found.expected(2).mean_seconds == pytest.approx(0.019, rel=0.1)
    assert found.expected(24 + 3).mean_seconds == pytest.approx(0.01, rel=0.1)
    # Of a Saturday there is one, so what is expected then is the overall mean.
    assert found.expected(5 * 24 + 2).mean_seconds == pytest.approx(found.mean_seconds)
    level = statement_profile(daily(night=1.0, days=7, noise=0.15), ended(hours))
    assert (level.hours_of_day, level.hours_of_week) == ({}, {})


def test_hour_of_the_week_needs_three_of_them() -> None:
    hours = daily(night=1.0, days=28, noise=0.02)
    for number, (start, delta) in enumerate(hours):
        if Clock().hour_of_week(start) == 100:
            slow = Delta(delta.calls, delta.seconds * 1.8, delta.squared_deviation, 0, 0, 0)
            hours[number] = HourOfCalls(start, slow)
    found = statement_profile(hours, ended(hours))
    assert found.expected(100).mean_seconds == pytest.approx(0.018, rel=0.05)
    assert found.expected(101).mean_seconds == pytest.approx(0.01, rel=0.05)


def test_rhythm_is_at_the_level_of_the_last_days() -> None:
    hours = daily(night=1.9, days=28, noise=0.02)
    grown = [
        each
        if each.start < MONDAY + 21 * 86_400
        else HourOfCalls(each.start, each.delta._replace(seconds=each.delta.seconds * 1.3))
        for each in hours
    ]
    found = statement_profile(grown, ended(grown))
    assert found.expected(2).mean_seconds == pytest.approx(0.019 * 1.3, rel=0.05)


def test_hours_of_the_baseline_are_held_against_the_others() -> None:
    """Of five Mondays to Fridays with another level each, the mean squared log is 5/4 of theirs."""
    levels = [0.7, 0.85, 1.0, 1.2, 1.4]
    times = []
    for day in range(5):
        for hour in range(24):
            mean = 0.01 * (3.0 if hour >= 12 else 1.0) * levels[day]
            times.append([mean * 0.9, mean * 1.1] * 20)
    hours = hours_of(*times)
    found = statement_profile(hours, ended(hours))
    assert len(found.hours_of_day) == 24
    for day in range(5):
        sums = found.against_others(hours[24 * day + 3])
        others = statistics.fmean(level for number, level in enumerate(levels) if number != day)
        assert sums.seconds / sums.expected_seconds == pytest.approx(levels[day] / others)
        usual = found.expected(24 * day + 3).mean_seconds
        assert usual == pytest.approx(0.01 * statistics.fmean(levels))


def test_rows_and_blocks_are_those_of_a_call() -> None:
    hours = [
        HourOfCalls(MONDAY + HOUR * number, delta_of([0.1] * 10, rows=25, blocks=40))
        for number in range(5)
    ]
    found = statement_profile(hours, ended(hours))
    assert (found.rows, found.blocks) == (2.5, 8.0)


def test_class_is_moved_by_its_statements_weighed_by_their_time() -> None:
    usual = [[0.009, 0.011] * 20] * 100
    spoilt = statement_profile(hours_of(*usual, [1.0] * 10), MONDAY + 101 * HOUR)
    even = statement_profile(hours_of(*usual), MONDAY + 100 * HOUR)
    assert moved([even]) == pytest.approx(1.0)
    assert 1 < moved([spoilt, even]) < moved([spoilt]) == pytest.approx(spoilt.moved)
    assert moved([]) == 1.0


def test_error_of_the_mean_is_that_over_all_statements() -> None:
    one = statement_profile(hours_of([1.0, 2.0, 3.0]), MONDAY + HOUR)
    other = statement_profile(hours_of([10.0, 10.0]), MONDAY + HOUR)
    assert mean_error([one, other]) == pytest.approx(math.sqrt(3 * 1.0) / 26)
    assert mean_error([]) == 0.0


def test_usual_calls_are_those_of_the_hour_of_the_week_then_of_the_day_then_of_all() -> None:
    starts = [MONDAY + HOUR * number for number in range(30)]  # a Monday, and six hours
    calls = {start: 10 * number for number, start in enumerate(starts)}
    found = usual_calls(calls, dict.fromkeys(starts, HOUR))
    assert len(found) == HOURS_OF_A_WEEK
    assert (found[1], found[25]) == (10, 250)  # this hour of the week was seen
    assert found[24 * 2 + 1] == statistics.fmean([10, 250])  # as other weekdays at 1
    assert found[24 * 2 + 20] == 200
    assert found[5 * 24 + 1] == statistics.fmean(calls.values())  # no weekend was seen
    assert usual_calls({}, {}) == [0] * HOURS_OF_A_WEEK


def test_hours_without_calls_count() -> None:
    starts = [MONDAY + 7 * 86_400 * week for week in range(4)]
    assert usual_calls({starts[0]: 100}, dict.fromkeys(starts, HOUR))[0] == 25

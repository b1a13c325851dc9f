"""The rule's arithmetic: what it must give for calls of which every single one is known."""

from __future__ import annotations

import math
from functools import reduce
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.comparison.rule import FAST_PAGE, Change
from exporter.comparison.sums import Sums, contribution, spread
from exporter.comparison.window import compare
from exporter.comparison.window_noise import BaselineNoise
from exporter.statements.counters import Delta, combine
from tests.support.statement_model import START, Life


class Statement(NamedTuple):
    """A statement with its baseline, and its calls since then, in seconds."""

    mean: float
    stddev: float
    calls: list[float]


SECONDS = st.floats(1e-5, 10.0)
STATEMENTS = st.lists(
    st.builds(Statement, SECONDS, SECONDS, st.lists(SECONDS, min_size=1, max_size=30)),
    min_size=1,
    max_size=4,
)
CERTAIN = BaselineNoise()
SHARE = st.one_of(st.just(0.0), st.floats(1e-4, 0.5))
NOISE = st.builds(BaselineNoise, SHARE, SHARE, SHARE, SHARE)


def _delta(calls: list[float]) -> Delta:
    mean = math.fsum(calls) / len(calls)
    squared = math.fsum((seconds - mean) ** 2 for seconds in calls)
    return Delta(len(calls), math.fsum(calls), squared, 0, 0, 0)


def _sums(statements: list[Statement]) -> Sums:
    parts = [
        contribution(_delta(statement.calls), statement.mean, statement.stddev**2)
        for statement in statements
    ]
    return reduce(Sums.plus, parts, Sums())


def _change(sums: Sums, noise: BaselineNoise = CERTAIN, hours: float = 1.0) -> Change:
    found = compare(sums, noise, hours)
    assert found is not None
    return found


@given(STATEMENTS)
def test_sums_are_those_of_the_calls_one_by_one(statements: list[Statement]) -> None:
    sums = _sums(statements)
    calls = [(seconds, one.mean, one.stddev) for one in statements for seconds in one.calls]
    assert sums.calls == len(calls)
    assert sums.seconds == pytest.approx(math.fsum(x for x, _, _ in calls))
    assert sums.expected_seconds == pytest.approx(math.fsum(m for _, m, _ in calls))
    assert sums.expected_squared == pytest.approx(math.fsum(m * m for _, m, _ in calls))
    assert sums.expected_variance == pytest.approx(math.fsum(s * s for _, _, s in calls))
    deviation = math.fsum((x - m) ** 2 for x, m, _ in calls)
    assert sums.deviation == pytest.approx(deviation, rel=1e-6, abs=1e-12)


@given(st.lists(st.lists(SECONDS, min_size=1, max_size=20), min_size=1, max_size=5), SECONDS)
def test_it_does_not_matter_how_often_one_polls(polls: list[list[float]], mean: float) -> None:
    deltas = [_delta(calls) for calls in polls]
    one_by_one = reduce(Sums.plus, (contribution(delta, mean, 0.5) for delta in deltas), Sums())
    at_once = contribution(combine(deltas), mean, 0.5)
    assert one_by_one == pytest.approx(at_once, rel=1e-6, abs=1e-12)


def test_sums_fit_what_pg_stat_statements_tells() -> None:
    life = Life(START)
    for seconds in (0.1, 0.2, 0.6):
        life.call(seconds)
    reading = life.reading(dated=True)
    delta = Delta(3, reading.seconds, reading.squared_deviation, 0, 0, 0)
    # (0.1-0.2)² + (0.2-0.2)² + (0.6-0.2)²
    assert contribution(delta, 0.2, 0.01) == pytest.approx((3, 0.9, 0.6, 0.12, 0.03, 0.17))


def test_spread_is_never_less_than_that_of_the_baseline() -> None:
    even = Sums(100, 2.0, 1.0, 0.01, 0.04, 0.01)
    assert _change(even).z == pytest.approx(math.log(2) / math.sqrt(4 * 0.04 / 4.0))


@given(
    st.lists(
        st.builds(
            lambda mean, shares: Statement(mean, 0.0, [mean * share for share in shares]),
            SECONDS,
            st.lists(st.floats(0.1, 1.0), min_size=1, max_size=30),
        ),
        min_size=1,
        max_size=4,
    ),
    st.floats(1.0, 1e5),
    NOISE,
)
def test_z_raw_is_at_most_1_where_one_call_explains_the_excess(
    statements: list[Statement], times: float, noise: BaselineNoise
) -> None:
    slow = statements[0]
    statements[0] = slow._replace(calls=[*slow.calls, slow.mean * times])
    assert _change(_sums(statements), noise).z_raw <= 1 + 1e-6


def test_z_raw_is_at_most_1_beside_a_call_that_takes_most_of_the_time() -> None:
    # By the spread about means that shift in proportion, z_raw would be beyond 2 as well.
    many = Statement(0.001, 0.0001, [0.001] * 999 + [60.0])
    heavy = Statement(20.0, 1.0, [20.0])
    sums = _sums([many, heavy])
    found = _change(sums)
    assert found.z > FAST_PAGE.z
    assert (sums.seconds - sums.expected_seconds) / math.sqrt(spread(sums)) > FAST_PAGE.z_raw
    assert found.z_raw == pytest.approx(1.0)


@pytest.mark.parametrize("outliers", [1, 2, 4, 9])
def test_z_raw_of_some_equal_outliers_is_the_root_of_their_number(outliers: int) -> None:
    calls = [0.01] * (10_000 - outliers) + [10.0] * outliers
    found = _change(_sums([Statement(0.01, 0.001, calls)]))
    assert found.z_raw == pytest.approx(math.sqrt(outliers), rel=0.01)


@given(STATEMENTS, st.integers(-10, 10), NOISE)
def test_unit_of_time_does_not_matter(
    statements: list[Statement], exponent: int, noise: BaselineNoise
) -> None:
    unit = 2.0**exponent  # exact in a double, so that rounding is the same in either unit
    scaled = [
        Statement(one.mean * unit, one.stddev * unit, [x * unit for x in one.calls])
        for one in statements
    ]
    before, after = _change(_sums(statements), noise), _change(_sums(scaled), noise)
    assert after[:6] == pytest.approx(before[:6])


@given(st.lists(st.tuples(SECONDS, st.integers(1, 10_000)), min_size=1, max_size=6), NOISE)
def test_another_mix_of_statements_is_no_change(
    mix: list[tuple[float, int]], noise: BaselineNoise
) -> None:
    deltas = [(Delta(calls, calls * mean, mean * calls, 0, 0, 0), mean) for mean, calls in mix]
    sums = reduce(Sums.plus, (contribution(delta, mean, mean) for delta, mean in deltas), Sums())
    found = _change(sums, noise)
    assert found.ratio == pytest.approx(1.0)
    assert found.z == pytest.approx(0.0, abs=1e-6)
    assert found.z_raw == pytest.approx(0.0, abs=1e-6)


def test_single_call_is_no_evidence() -> None:
    found = _change(_sums([Statement(0.01, 0.0, [1.0])]))
    assert found.ratio == pytest.approx(100)
    assert found.z_raw == pytest.approx(1.0)
    assert found.lower < found.ratio / 5

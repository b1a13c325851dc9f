"""The rule's arithmetic: what it must give for calls of which every single one is known."""

from __future__ import annotations

import math
from functools import reduce
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.comparison.rule import (
    CONFIDENCE_Z,
    FAST_PAGE,
    PAGE,
    Change,
    Noise,
    Sums,
    change,
    contribution,
    pages,
    pooled,
    spread,
)
from exporter.deployment.records import Outcome
from exporter.statements.counters import Delta, combine
from exporter.verdict.outcome import verdict_of
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
CERTAIN = Noise()
SHARE = st.one_of(st.just(0.0), st.floats(1e-4, 0.5))
NOISE = st.builds(Noise, SHARE, SHARE)


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


def _change(sums: Sums, noise: Noise = CERTAIN, hours: float = 1.0) -> Change:
    found = change(sums, noise, hours)
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


def test_change_is_the_formula_of_the_design() -> None:
    sums = Sums(100, 3.0, 2.0, 0.05, 0.01, 0.09)
    found = _change(sums, Noise(0.05, 0.1))
    v_raw = (0.09 - 0.25 * 0.05) * 100 / 99
    error = math.sqrt(max(v_raw, 2.25 * 0.01) / 9.0 + 0.05**2 + 0.1**2)
    v_one = (0.09 - 1.0 / 100) * 100 / 99
    assert found == pytest.approx(
        (
            1.5,
            1.5 * math.exp(-CONFIDENCE_Z * error),
            1.5 * math.exp(CONFIDENCE_Z * error),
            math.log(1.5) / error,
            1.0 / math.sqrt(v_one + (0.05 * 2.0) ** 2),
            100,
            3.0,
            2.0,
            0.05,
        )
    )


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
    statements: list[Statement], times: float, noise: Noise
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
    assert not pages(found, 1.0, 0.0, FAST_PAGE)


@pytest.mark.parametrize("outliers", [1, 2, 4, 9])
def test_z_raw_of_some_equal_outliers_is_the_root_of_their_number(outliers: int) -> None:
    calls = [0.01] * (10_000 - outliers) + [10.0] * outliers
    found = _change(_sums([Statement(0.01, 0.001, calls)]))
    assert found.z_raw == pytest.approx(math.sqrt(outliers), rel=0.01)


@given(STATEMENTS, st.integers(-10, 10), NOISE)
def test_unit_of_time_does_not_matter(
    statements: list[Statement], exponent: int, noise: Noise
) -> None:
    unit = 2.0**exponent  # exact in a double, so that rounding is the same in either unit
    scaled = [
        Statement(one.mean * unit, one.stddev * unit, [x * unit for x in one.calls])
        for one in statements
    ]
    before, after = _change(_sums(statements), noise), _change(_sums(scaled), noise)
    assert after[:6] == pytest.approx(before[:6])


@given(st.lists(st.tuples(SECONDS, st.integers(1, 10_000)), min_size=1, max_size=6), NOISE)
def test_another_mix_of_statements_is_no_change(mix: list[tuple[float, int]], noise: Noise) -> None:
    deltas = [(Delta(calls, calls * mean, mean * calls, 0, 0, 0), mean) for mean, calls in mix]
    sums = reduce(Sums.plus, (contribution(delta, mean, mean) for delta, mean in deltas), Sums())
    found = _change(sums, noise)
    assert found.ratio == pytest.approx(1.0)
    assert found.z == pytest.approx(0.0, abs=1e-6)
    assert found.z_raw == pytest.approx(0.0, abs=1e-6)


AMOUNT = st.one_of(st.just(0.0), st.floats(1e-9, 1e9))


@given(st.builds(Sums, st.integers(0, 10**9), *[AMOUNT] * 5), NOISE, st.floats(0.0, 1e4))
def test_change_is_finite_whatever_rounding_has_made_of_the_sums(
    sums: Sums, noise: Noise, hours: float
) -> None:
    found = change(sums, noise, hours)
    assert (found is None) == (not sums.calls or not sums.seconds or not sums.expected_seconds)
    if found:
        assert all(math.isfinite(number) for number in found)
        assert 0 <= found.lower <= found.ratio <= found.upper


def test_single_call_is_no_evidence() -> None:
    found = _change(_sums([Statement(0.01, 0.0, [1.0])]))
    assert found.ratio == pytest.approx(100)
    assert found.z_raw == pytest.approx(1.0)
    assert found.lower < found.ratio / 10


def test_hours_average_out_for_a_day_and_no_longer() -> None:
    sums = Sums(10**9, 2.0, 1.0, 0.0, 0.0, 0.0)

    def error(hours: float) -> float:
        return math.log(2) / _change(sums, Noise(0.0, 0.1), hours).z

    assert error(0.25) == error(1) == pytest.approx(0.1)
    assert error(4) == pytest.approx(0.05)
    assert error(24) == error(168) == pytest.approx(0.1 / math.sqrt(24))


@given(st.lists(st.tuples(STATEMENTS, NOISE), min_size=1, max_size=4))
def test_roles_together_are_the_sum_of_their_calls_and_no_noisier_than_the_noisiest(
    roles: list[tuple[list[Statement], Noise]],
) -> None:
    sums, noise = pooled((_sums(statements), noise) for statements, noise in roles)
    assert sums == pytest.approx(_sums([one for statements, _ in roles for one in statements]))
    assert noise.relative_error <= max(noise.relative_error for _, noise in roles) * (1 + 1e-9)
    assert noise.hour_log_stddev <= max(noise.hour_log_stddev for _, noise in roles) * (1 + 1e-9)


def test_errors_of_roles_are_independent_and_their_slow_hours_are_not() -> None:
    part = Sums(10, 1.0, 1.0, 0.1, 0.1, 0.1)
    _, noise = pooled([(part, Noise(0.1, 0.1))] * 4)
    assert noise == pytest.approx((0.05, 0.1))
    assert pooled([]) == (Sums(), Noise())


SLOWER = Change(
    ratio=1.5, lower=1.2, upper=1.9, z=3.1, z_raw=1.6, calls=5, seconds=3.0, expected_seconds=2.0
)


@pytest.mark.parametrize(
    "lesser",
    [
        SLOWER._replace(ratio=1.2),
        SLOWER._replace(z=3.09),
        SLOWER._replace(z_raw=1.5),
        SLOWER._replace(calls=4),
        SLOWER._replace(seconds=2.9),
    ],
)
def test_page_needs_everything_at_once(lesser: Change) -> None:
    assert pages(SLOWER, 0.81, 1.0)
    assert not pages(lesser, 0.81, 1.0)
    assert not pages(SLOWER, 0.8, 1.0)


def test_fast_page_needs_more() -> None:
    fast = SLOWER._replace(ratio=3.1, z=5.1, z_raw=2.1)
    assert pages(fast, 1.0, 0.0, FAST_PAGE)
    assert not any(
        pages(fast._replace(**{name: getattr(FAST_PAGE, name)}), 1.0, 0.0, FAST_PAGE)
        for name in FAST_PAGE._fields
    )
    assert not pages(SLOWER, 1.0, 0.0, FAST_PAGE)
    assert PAGE < FAST_PAGE


STABLE = SLOWER._replace(ratio=1.0, lower=0.9, upper=1.2, z=0.0, z_raw=0.0)


@pytest.mark.parametrize(
    ("found", "coverage", "outcome", "reason"),
    [
        (SLOWER, 0.9, Outcome.FAIL, "1.50 times the baseline, between 1.20 and 1.90"),
        (STABLE, 0.9, Outcome.PASS, "1.00 times the baseline, between 0.90 and 1.20"),
        (STABLE._replace(upper=1.21), 0.9, Outcome.INCONCLUSIVE, "too early to tell: "),
        (SLOWER._replace(lower=1.0), 0.9, Outcome.INCONCLUSIVE, "too early to tell: "),
        (SLOWER._replace(z_raw=1.5), 0.9, Outcome.INCONCLUSIVE, "too early to tell: "),
        (SLOWER._replace(calls=4), 0.9, Outcome.INCONCLUSIVE, "only 4 calls"),
        (STABLE._replace(calls=4), 0.9, Outcome.INCONCLUSIVE, "only 4 calls"),
        (SLOWER, 0.8, Outcome.INCONCLUSIVE, "a baseline is known for 80% of the time"),
        (STABLE, None, Outcome.INCONCLUSIVE, "no calls"),
        (None, 0.9, Outcome.INCONCLUSIVE, "no calls"),
        (
            SLOWER._replace(baseline_error=0.23),
            0.9,
            Outcome.INCONCLUSIVE,
            "the baseline is uncertain by 23%",
        ),
    ],
)
def test_verdict_is_no_more_certain_than_the_evidence(
    found: Change | None, coverage: float | None, outcome: Outcome, reason: str
) -> None:
    judgement = verdict_of(found, coverage)
    assert judgement.outcome is outcome
    assert judgement.reason.startswith(reason)


def test_improvement_is_told_when_it_is_certain() -> None:
    for upper, is_told in ((0.7, True), (0.71, False)):
        judgement = verdict_of(STABLE._replace(ratio=0.5, upper=upper), 0.9)
        assert judgement.outcome is Outcome.PASS
        assert judgement.reason.endswith("so at least 30% faster") is is_told

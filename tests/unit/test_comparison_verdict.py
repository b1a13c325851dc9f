"""The verdict of a class: every reason, with hours made by hand."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.comparison.class_evidence import pass_z
from exporter.comparison.class_hours import ClassCalls, ClassHour, last_hours, pieces, span_of
from exporter.comparison.class_verdict import ClassResult, judge
from exporter.comparison.rule import USUAL_RATIO_WITHOUT_NIGHT
from exporter.comparison.single_statements import CountedStatement, StatementCalls
from exporter.comparison.sums import Sums
from exporter.comparison.window_noise import BaselineNoise
from exporter.deployment.records import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

HOUR = 3600.0
MONDAY = 4 * 86_400.0
MEAN = 0.01
QUIET = BaselineNoise(0.02, 0.05, 0.04, 0.03)


def sums(ratio: float = 1.0, calls: int = 100, mean: float = MEAN) -> Sums:
    """Return even calls that take `ratio` times the mean of the baseline."""
    expected = calls * mean
    deviation = calls * (mean * (ratio - 1)) ** 2
    variance = calls * (0.5 * mean) ** 2
    return Sums(calls, expected * ratio, expected, expected * mean, variance, deviation)


def calls(ratio: float = 1.0, count: int = 100, **changes: Any) -> ClassCalls:
    """Return an hour in which all is as usual but for the ratio, and what is said otherwise."""
    compared = sums(ratio, count)
    usual = ClassCalls(
        watched_hours=1.0,
        sums=compared,
        rows=3 * count,
        expected_rows=3.0 * count,
        calls=count,
        usual_calls=100.0,
        covered_seconds=compared.seconds,
    )
    return usual._replace(**changes)


def hours(*each: ClassCalls) -> list[ClassHour]:
    return [ClassHour(MONDAY + HOUR * number, one) for number, one in enumerate(each)]


def days(count: int, ratio: float = 1.0, **changes: Any) -> list[ClassCalls]:
    return [calls(ratio, **changes)] * (24 * count)


def verdict(each: Sequence[ClassCalls], **options: Any) -> ClassResult:
    return judge(hours(*each), options.pop("noise", QUIET), **options)


def test_healthy_class_passes_with_the_bound_that_it_surely_is_below() -> None:
    found = verdict(days(3))
    assert found.outcome is Outcome.PASS
    assert found.reason == "1.00 times the baseline, surely below 1.05"
    assert found.facts == (
        "7,200 calls, 1.00 times as many as usual; 3.00 rows a call, 3.00 in the baseline;"
        " 1.00 times the baseline in the last 24 h"
    )
    faster = verdict(days(1, 0.5))
    assert faster.reason == "0.50 times the baseline, surely below 0.53, so at least 30% faster"
    assert faster.facts.count(";") == 1  # the last day is the whole time


def test_slower_class_fails_by_the_total_and_by_the_median_hour() -> None:
    found = verdict(days(3, 1.5, blocks=800, expected_blocks=200.0))
    assert found.outcome is Outcome.FAIL
    assert found.reason == (
        "1.50 times the baseline, surely above 1.38; 1.50 times in the median hour;"
        " blocks per call 4.00 times the baseline's"
    )


def test_fail_waits_for_three_hours() -> None:
    assert verdict(days(1, 5.0)[:2]).outcome is Outcome.INCONCLUSIVE
    assert verdict(days(1, 5.0)[:3]).outcome is Outcome.FAIL


def test_one_incident_is_no_fail_and_is_named() -> None:
    incident = calls(1.0, sums=Sums(160, 1201.0, 1.6, 0.016, 0.004, 24_000.0))
    found = verdict([*days(2), incident, *days(1)])
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.reason == (
        "1.00 times the baseline in the median hour, but 17 times in total: 100% of the excess is"
        " in the hour from 1970-01-07 00:00 UTC"
    )


def test_last_day_fails_by_itself() -> None:
    found = verdict([*days(5), *days(1, 1.5)])
    assert found.whole.change is not None
    assert found.whole.change.ratio < 1.1
    assert found.outcome is Outcome.FAIL
    assert found.reason.startswith("in the last 24 h, 1.50 times the baseline, surely above 1.3")


def test_last_day_that_may_be_slower_is_no_pass() -> None:
    noise = replace(QUIET, day=0.12)
    found = verdict([*days(6), *days(1, 1.25)], noise=noise)
    assert (found.outcome, found.reason) == (
        Outcome.INCONCLUSIVE,
        "1.04 times the baseline over the whole time, but 1.25 times in the last 24 h,"
        " for which 1.44 cannot be excluded",
    )
    assert verdict([*days(6), *days(1, 1.1)], noise=noise).outcome is Outcome.PASS


def test_last_day_that_is_not_certain_enough_is_no_pass() -> None:
    noise = replace(QUIET, day=0.27)
    found = verdict(days(7, 0.95), noise=noise)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.reason.startswith("0.95 times the baseline over the whole time, but 0.95 times")


@pytest.mark.parametrize("when", ["the whole time", "the last day"])
def test_missing_rows_fail_at_once(when: str) -> None:
    """A policy that compares the wrong column: fast, and nobody sees anything."""
    gone = calls(0.91, rows=0, expected_rows=258.0)
    if when == "the whole time":
        found = verdict([gone])
        reason = "results are missing: 0.00 rows a call, 2.58 in the baseline, over 100 calls"
    else:
        found = verdict([*days(5), *[gone] * 24])
        reason = (
            "in the last 24 h, results are missing: 0.00 rows a call, 2.58 in the baseline,"
            " over 2,400 calls"
        )
    assert (found.outcome, found.reason) == (Outcome.FAIL, reason)


@pytest.mark.parametrize(
    ("rows", "expected", "outcome"),
    [
        (29, 300.0, Outcome.FAIL),
        (30, 300.0, Outcome.INCONCLUSIVE),
        (149, 300.0, Outcome.INCONCLUSIVE),
        (150, 300.0, Outcome.PASS),
        (600, 300.0, Outcome.PASS),
        (601, 300.0, Outcome.INCONCLUSIVE),
        (0, 29.0, Outcome.PASS),  # too few to tell
        (29, 0.0, Outcome.PASS),
        (30, 0.0, Outcome.INCONCLUSIVE),
        (0, 0.0, Outcome.PASS),
    ],
)
def test_rows_per_call_are_between_half_and_twice_those_of_the_baseline(
    rows: int, expected: float, outcome: Outcome
) -> None:
    found = verdict([calls(0.5, rows=rows, expected_rows=expected)])
    assert found.outcome is outcome
    if outcome is Outcome.INCONCLUSIVE:
        assert found.reason.endswith(f"rows a call, {expected / 100:.2f} in the baseline")


@pytest.mark.parametrize(
    ("usual", "outcome", "reason"),
    [
        (50.0, Outcome.PASS, ""),
        (200.0, Outcome.PASS, ""),
        (
            10.4,
            Outcome.INCONCLUSIVE,
            "called 9.62 times as often as in these hours of the baseline: one call may have"
            " become many",
        ),
        (
            280.0,
            Outcome.INCONCLUSIVE,
            "called 0.36 times as often as in these hours of the baseline: calls that fail are"
            " not counted",
        ),
        (0.0, Outcome.INCONCLUSIVE, "called inf times"),
    ],
)
def test_calls_are_between_half_and_twice_the_usual(
    usual: float, outcome: Outcome, reason: str
) -> None:
    found = verdict([calls(0.5, usual_calls=usual)])
    assert found.outcome is outcome
    assert reason in found.reason


def test_too_few_calls_are_not_compared_with_the_usual() -> None:
    few = [calls(0.3, 14, rows=0, expected_rows=0.0, usual_calls=0.6)] * 2
    assert verdict(few).whole.calls.calls_ratio is None
    assert verdict(few * 2).whole.calls.calls_ratio == pytest.approx(56 / 2.4)


def test_calls_that_stopped_on_the_last_day_are_named() -> None:
    found = verdict([*days(5), *[calls(1.0, 20)] * 24])
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.reason.startswith("in the last 24 h, called 0.20 times as often")


def test_outage_from_the_beginning_is_told_from_silence() -> None:
    nothing = ClassCalls(watched_hours=1.0)
    assert verdict([nothing] * 3).reason == "no calls of statements with a baseline"
    assert verdict([nothing._replace(usual_calls=40.0)] * 3).reason == (
        "no calls of statements with a baseline, where 120 calls of the class are usual in this"
        " time"
    )
    assert verdict([]).outcome is Outcome.INCONCLUSIVE


def test_outage_of_the_last_hours_is_not_hidden_by_the_week_before() -> None:
    down = ClassCalls(watched_hours=1.0, usual_calls=100.0)
    found = verdict([*days(6), down])
    assert (found.outcome, found.reason) == (
        Outcome.INCONCLUSIVE,
        "called 0 times in the last 1.0 h, where 100 calls are usual in these hours",
    )
    few = [calls(1.0, 9, usual_calls=100.0)]
    assert verdict([*days(6), *few]).reason.startswith("called 9 times in the last 1.0 h")
    rare = ClassCalls(watched_hours=1.0, usual_calls=4.0)
    assert verdict([*days(6), *[rare] * 7]).outcome is Outcome.PASS
    assert verdict([*days(6), *[rare] * 8]).reason.startswith("called 0 times in the last 8.0 h")
    night = ClassCalls(watched_hours=1.0)
    assert verdict([*days(6), *[night] * 8]).outcome is Outcome.PASS


def test_four_calls_decide_nothing() -> None:
    found = verdict([calls(0.1, 4, rows=0, expected_rows=0.0, usual_calls=4.0)])
    assert (found.outcome, found.reason) == (Outcome.INCONCLUSIVE, "only 4 calls, 5 at least")


def test_statements_without_a_baseline_leave_nothing_to_say() -> None:
    slow = verdict(days(3, 1.5, covered_seconds=1.5, uncovered_seconds=0.5))
    assert slow.reason == (
        "a baseline is known for 75% of the time of these statements, more than 80% is needed"
    )
    assert verdict(days(3, 1.5, covered_seconds=0.0)).reason.startswith(
        "a baseline is known for 0%"
    )


def test_new_statement_that_adds_a_quarter_is_no_pass() -> None:
    found = verdict(days(3, covered_seconds=1.0, uncovered_seconds=0.24))
    assert found.whole.calls.coverage == pytest.approx(0.806, abs=0.001)
    assert (found.outcome, found.reason) == (
        Outcome.INCONCLUSIVE,
        "1.24 times the time of the baseline together with statements that have no baseline,"
        " 1.2 at most",
    )


def test_uncertain_baseline_leaves_nothing_to_say() -> None:
    found = verdict(days(3, 3.0), noise=replace(QUIET, relative_error=0.23))
    assert found.reason == "the baseline is uncertain by 23%, 22% at most"


def test_replacement_that_is_called_ten_times_as_often_is_named() -> None:
    found = verdict(days(1), replacements=[CountedStatement("select * from bills", 1000, 100.0)])
    assert (found.outcome, found.reason) == (
        Outcome.INCONCLUSIVE,
        "select * from bills is called 10 times as often as the statement that it replaces was",
    )


def test_single_statement_that_is_surely_slower_is_named() -> None:
    named = [StatementCalls("select one", sums(10.7, 200)), StatementCalls("two", sums(0.5, 2200))]
    found = verdict(days(1), statements=named)
    assert (found.outcome, found.reason) == (
        Outcome.INCONCLUSIVE,
        "1.00 times the baseline in all, but surely more than 2 times in single statements:"
        " select one (11 times)",
    )


def test_single_statement_that_finds_nothing_is_named() -> None:
    """Its class still returns more than half of its rows, and is faster for the lack of them."""

    def judged(rows: int, expected: float, count: int) -> ClassResult:
        shrunk = StatementCalls("select one", sums(1.0, count), rows, expected)
        other = StatementCalls("two", sums(1.0, 1900), 3000, 3000.0)
        return verdict(days(1), statements=[shrunk, other])

    found = judged(0, 500.0, 250)
    assert (found.outcome, found.reason) == (
        Outcome.INCONCLUSIVE,
        "results are missing of select one: 0.00 rows a call, 2.00 in the baseline, over 250 calls",
    )
    assert judged(50, 500.0, 250).outcome is Outcome.PASS
    assert judged(49, 500.0, 250).outcome is Outcome.INCONCLUSIVE
    assert judged(0, 29.0, 250).outcome is Outcome.PASS  # hardly any row is usual
    assert judged(0, 500.0, 90).outcome is Outcome.PASS  # less than 5 % of the calls


def test_slow_down_that_costs_next_to_nothing_is_no_fail() -> None:
    """0.040 ms become 0.050 ms, 12,000 times in a day."""
    tiny = calls(1.25, 500, sums=sums(1.25, 500, 4e-5), usual_calls=500.0)
    found = verdict([tiny] * 24)
    assert (found.outcome, found.reason) == (
        Outcome.INCONCLUSIVE,
        "1.25 times the baseline, surely above 1.12; 1.25 times in the median hour, but only by"
        " 0.01 ms a call and 0.005 s an hour, too little to fail",
    )
    often = calls(1.25, 200_000, sums=sums(1.25, 200_000, 4e-5), usual_calls=200_000.0)
    assert verdict([often] * 24).outcome is Outcome.FAIL  # 2 s an hour
    slow = calls(1.25, 10, sums=sums(1.25, 10, 0.005), usual_calls=10.0)
    assert verdict([slow] * 48).outcome is Outcome.FAIL  # 1.25 ms a call


@pytest.mark.parametrize(
    ("rate", "count", "reason"),
    [
        (
            5,
            24,
            "too early to tell: 1.05 times the baseline so far; at 5 calls an hour 1.5 times can"
            " be excluded, 1.2 not yet",
        ),
        (
            10,
            6,
            "too early to tell: 1.05 times the baseline so far; at 10 calls an hour 2 times can be"
            " excluded, 1.2 not yet",
        ),
        (5, 4, "too early to tell: 20 calls so far, too few for how they spread"),
    ],
)
def test_sentence_says_what_this_traffic_can_exclude(rate: int, count: int, reason: str) -> None:
    noise = BaselineNoise(0.05, 0.2, 0.18, 0.12)
    found = verdict([calls(1.05, rate, usual_calls=float(rate))] * count, noise=noise)
    assert (found.outcome, found.reason) == (Outcome.INCONCLUSIVE, reason)


def test_hardly_anything_is_excluded_where_little_is_known() -> None:
    noise = BaselineNoise(0.2, 2.0, 2.0, 2.0)
    assert "little can be excluded, 1.2 not yet" in verdict(days(1), noise=noise).reason


def test_margin_of_a_class_is_its_own() -> None:
    slower = days(3, 1.3)
    assert verdict(slower).outcome is Outcome.FAIL
    assert verdict(slower, margin=1.5).outcome is Outcome.PASS
    assert verdict(days(3, 1.6), margin=1.5).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("hours_watched", "z"),
    [(0.0, 3.09), (1, 3.09), (5, 1.64 * math.sqrt(2)), (10, 1.64), (99, 1.64)],
)
def test_pass_of_the_first_hours_is_surer(hours_watched: float, z: float) -> None:
    assert pass_z(hours_watched) == pytest.approx(z)


def test_only_the_last_week_is_judged() -> None:
    found = verdict([*days(7, 3.0), *days(7)])
    assert found.outcome is Outcome.PASS
    assert found.whole.calls.watched_hours == 168


def test_gap_in_the_hours_is_no_part_of_the_last_day() -> None:
    before, after = hours(*days(1)), hours(*days(1)[:5])
    late = [ClassHour(each.start + 72 * HOUR, each.calls) for each in after]
    assert last_hours([*before, *late], 24) == late
    assert last_hours([], 24) == []


def test_hour_of_a_rehearsal_is_an_hour() -> None:
    fast = [ClassHour(30.0 * number, each) for number, each in enumerate([*days(5), *days(1, 1.5)])]
    found = judge(fast, QUIET, hour_seconds=30.0)
    assert found.outcome is Outcome.FAIL
    assert found.last_day.calls.watched_hours == 24
    tiny = calls(1.5, 100, sums=sums(1.5, 100, 4e-4))
    costly = judge([ClassHour(30.0 * number, tiny) for number in range(24)], QUIET, hour_seconds=30)
    assert costly.outcome is Outcome.FAIL  # 20 ms in 30 s are 2.4 s in an hour


def test_median_is_over_pieces_with_five_calls() -> None:
    few = [sums(1.0, 2), sums(1.0, 2), sums(1.0, 2), sums(9.0, 100), Sums(), sums(2.0, 4)]
    found = list(pieces(few))
    assert [number for number, _ in found] == [3, 4]
    skewness = [math.log1p(0.25 / count) / 2 for count in (6, 100)]
    assert [log for _, log in found] == pytest.approx([skewness[0], math.log(9) + skewness[1]])


def test_median_hour_of_skewed_calls_is_that_of_their_mean() -> None:
    """σ 1: the median of the mean of ten such calls is 0.93 of their mean."""
    draw = random.Random(5)
    each = []
    for _ in range(4000):
        times = [draw.lognormvariate(-0.5, 1.0) for _ in range(10)]
        each.append(Sums(10, math.fsum(times), 10.0, 10.0, 10 * (math.e - 1), 20.0))
    found = span_of(hours(*(calls(sums=one) for one in each)), QUIET)
    assert found.median_ratio == pytest.approx(1.0, abs=0.03)


NUMBERS = st.builds(
    lambda count, ratio, rows, usual, uncovered: calls(
        ratio, count, rows=rows, usual_calls=usual, uncovered_seconds=uncovered
    ),
    st.integers(1, 2000),
    st.floats(0.05, 20.0),
    st.integers(0, 10_000),
    st.floats(0.0, 3000.0),
    st.floats(0.0, 1.0),
)
SHARE = st.floats(0.0, 0.5)


@given(st.lists(NUMBERS, max_size=30), st.builds(BaselineNoise, SHARE, SHARE, SHARE, SHARE))
def test_there_is_always_a_verdict_with_a_reason(
    each: list[ClassCalls], noise: BaselineNoise
) -> None:
    found = verdict(each, noise=noise)
    assert found.reason
    assert not found.reason.endswith(".")
    if found.outcome is Outcome.PASS:
        assert found.whole.change is not None
        assert found.whole.change.upper <= 1.2
        assert found.whole.calls.sums.calls >= 30


@given(st.lists(NUMBERS, min_size=1, max_size=30), st.floats(1.0, 5.0))
def test_slower_calls_never_turn_a_verdict_into_a_pass(
    each: list[ClassCalls], factor: float
) -> None:
    def slowed(one: ClassCalls) -> ClassCalls:
        ratio = one.sums.seconds / one.sums.expected_seconds * factor
        compared = sums(ratio, one.sums.calls)
        return one._replace(sums=compared, covered_seconds=compared.seconds)

    before = verdict([one._replace(uncovered_seconds=0.0) for one in each])
    after = verdict([slowed(one._replace(uncovered_seconds=0.0)) for one in each])
    if before.outcome is not Outcome.PASS:
        assert after.outcome is not Outcome.PASS


@given(st.lists(NUMBERS, min_size=1, max_size=12), st.integers(-8, 8))
def test_bounds_do_not_depend_on_the_unit_of_time(each: list[ClassCalls], exponent: int) -> None:
    unit = 2.0**exponent

    def scaled(one: ClassCalls) -> ClassCalls:
        old = one.sums
        new = Sums(
            old.calls,
            old.seconds * unit,
            old.expected_seconds * unit,
            *(value * unit**2 for value in old[3:]),
        )
        return one._replace(sums=new)

    before, after = span_of(hours(*each), QUIET), span_of(hours(*map(scaled, each)), QUIET)
    assert before.change is not None
    assert after.change is not None
    assert after.change.upper == pytest.approx(before.change.upper)
    assert after.median_ratio == pytest.approx(before.median_ratio)
    assert after.median_z == pytest.approx(before.median_z)


@given(st.lists(NUMBERS, min_size=2, max_size=12))
def test_calls_add_up(each: list[ClassCalls]) -> None:
    total = span_of(hours(*each), QUIET).calls
    for name in ClassCalls._fields:
        if name != "sums":
            whole = math.fsum(getattr(one, name) for one in each)
            assert getattr(total, name) == pytest.approx(whole)


def test_statement_that_is_called_less_than_half_as_often_is_named() -> None:
    usual = [CountedStatement("one", 25, 100.0), CountedStatement("two", 1, 20.0)]
    found = verdict(days(1), usual=usual)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.reason == (
        "one was called 25 times, where 100 calls are usual beside the rest of its class: calls"
        " that fail are not counted"
    )
    others = [CountedStatement("one", 35, 100.0), CountedStatement("two", 0, 29.0)]
    assert verdict(days(1), usual=others).outcome is Outcome.PASS
    quiet_day = [CountedStatement("one", 25, 100.0, 300, 1200.0)]
    assert verdict(days(1), usual=quiet_day).outcome is Outcome.PASS


@pytest.mark.parametrize(("slow_hours", "is_named"), [(24, True), (11, False)])
def test_a_few_calls_that_take_far_longer_are_told_from_one_incident(
    slow_hours: int, *, is_named: bool
) -> None:
    """2 % of the calls, ten times as long, of a class that is else a fifth faster."""
    quick, slow = 0.8 * MEAN, 10 * MEAN
    deviation = 98 * (quick - MEAN) ** 2 + 2 * (slow - MEAN) ** 2
    tail = sums()._replace(seconds=98 * quick + 2 * slow, deviation=deviation)
    faster = [calls(0.8, sums=sums(0.8))] * (24 - slow_hours)
    found = verdict([*faster, *[calls(sums=tail)] * slow_hours])
    assert ("a few of them take far longer" in found.reason) is is_named
    assert (found.outcome is Outcome.INCONCLUSIVE) is is_named


def test_calls_of_a_baseline_without_a_night_may_differ_by_more() -> None:
    quiet = [calls(usual_calls=400.0)] * 24
    assert verdict(quiet).outcome is Outcome.INCONCLUSIVE
    assert verdict(quiet, usual_ratio=USUAL_RATIO_WITHOUT_NIGHT).outcome is Outcome.PASS

"""What is called now is added up against the baseline: sums that only grow, whatever happens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.baseline.artefact import Baseline, BaselineClass, BaselineStatement
from exporter.clock import Clock
from exporter.comparison.calls import ComparisonState, StatementOfClass, load_state
from exporter.comparison.comparison import Comparison
from exporter.comparison.sums import Sums
from exporter.comparison.window import compare
from exporter.comparison.window_noise import BaselineNoise
from exporter.deployment.records import Outcome
from exporter.state import StateStore
from exporter.statements.continuity import Break
from exporter.statements.text import identity
from tests.support.baselines import BASELINE
from tests.support.state import scope
from tests.support.windows import DEPLOYMENT, HOUR, MONDAY, OWNER, called, window

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.comparison.class_hours import ClassCalls

PLACE = ("invoices", "anon")
MEAN, VARIANCE = 0.2, 0.01
USUAL = 600.0
"""Calls an hour."""
NOISE = BaselineNoise(0.05, 0.1, 0.08, 0.06)
SETTLED = MONDAY + HOUR
UNKNOWN = "select id from invoices where paid"


KEY = StatementOfClass("invoices", identity("select * from invoices") or "")


def make_baseline(mean: float = MEAN, class_name: str = "invoices") -> Baseline:
    return BASELINE.model_copy(
        update={
            "statements": (
                BaselineStatement(
                    id=identity("select * from invoices") or "",
                    role="anon",
                    class_name=class_name,
                    text=None,
                    calls=100,
                    seconds=100 * mean,
                    rows=300,
                    blocks=500,
                    variance=VARIANCE,
                ),
            ),
            "classes": (
                BaselineClass(
                    class_name=class_name,
                    role="anon",
                    calls=100,
                    seconds=100 * mean,
                    relative_error=NOISE.relative_error,
                    hour_log_stddev=NOISE.hour,
                    six_hours_log_stddev=NOISE.six_hours,
                    day_log_stddev=NOISE.day,
                    usual_calls=(USUAL,) * 168,
                ),
            ),
        }
    )


def make_comparison(
    digest: str = "one",
    mean: float = MEAN,
    hour: float = HOUR,
    before: ComparisonState | None = None,
    class_name: str = "invoices",
) -> Comparison:
    return Comparison(make_baseline(mean, class_name), digest, DEPLOYMENT, Clock(hour), before)


def written(comparison: Comparison, folder: Path) -> ComparisonState:
    """Return everything as it comes back after a restart."""
    store = StateStore(folder / "state.sqlite3")
    observed = scope(store).of(OWNER)
    comparison.save(observed)
    found = load_state(observed)
    store.close()
    assert found is not None
    return found


def whole(comparison: Comparison, name: str = "invoices") -> ClassCalls:
    """Return the calls of a class since the deployment."""
    return comparison.results([name])[name].whole.calls


def sums_of(times: list[float]) -> Sums:
    """Return the six sums by their definition, over single calls."""
    return Sums(
        len(times),
        math.fsum(times),
        len(times) * MEAN,
        len(times) * MEAN**2,
        len(times) * VARIANCE,
        math.fsum((time - MEAN) ** 2 for time in times),
    )


def test_sums_are_there_from_the_beginning_and_zero() -> None:
    assert make_comparison().sums.matched == {PLACE: Sums()}


@given(
    st.lists(
        st.lists(st.floats(1e-4, 1e3), min_size=1, max_size=4).map(tuple), min_size=1, max_size=8
    )
)
def test_windows_one_by_one_add_up_to_all_calls_at_once(windows: list[tuple[float, ...]]) -> None:
    split, at_once = make_comparison(), make_comparison()
    everything = [time for times in windows for time in times]
    for number, times in enumerate(windows):
        before = split.sums.matched[PLACE]
        split.take(window(SETTLED + 30 * number, called(*times)), SETTLED)
        assert all(new >= old for new, old in zip(split.sums.matched[PLACE], before, strict=True))
    at_once.take(window(SETTLED, called(*everything)), SETTLED)
    expected = pytest.approx(sums_of(everything), rel=1e-6)
    for comparison in (split, at_once):
        assert comparison.sums.matched[PLACE] == expected
        assert whole(comparison).sums == expected
        assert comparison.state.statements.keys() == {KEY}
        assert comparison.state.statements[KEY].sums == expected
    assert whole(split).watched_hours == pytest.approx(30 * len(windows) / HOUR)


def test_calls_without_a_baseline_are_not_matched_but_lower_the_coverage() -> None:
    comparison = make_comparison()
    unknown = called(0.3, text=UNKNOWN)
    refund = called(7.0, text="select * from refunds", class_name="refunds")
    comparison.take(window(SETTLED, called(0.8), unknown, refund), SETTLED)
    assert comparison.sums.matched == {PLACE: pytest.approx(sums_of([0.8]))}
    assert whole(comparison).coverage == pytest.approx(0.8 / 1.1)
    assert whole(comparison).calls == 2
    assert whole(comparison, "refunds").coverage == 0.0
    assert whole(comparison, "other").coverage is None


def test_people_at_a_psql_count_neither_for_nor_against_coverage() -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED, called(0.8), called(99.0, role="other")), SETTLED)
    assert whole(comparison).coverage == 1.0
    assert whole(comparison).calls == 1


def test_rows_are_compared_with_those_that_as_many_calls_returned() -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED, called(*[0.2] * 40, rows=60)), SETTLED)
    calls = whole(comparison)
    assert (calls.rows, calls.expected_rows) == (60, 120)
    assert calls.rows_ratio == 0.5


def test_replacement_is_matched_in_time_and_not_in_rows() -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED, called(0.3, 0.1, text="select * from bills", rows=9)), SETTLED)
    assert comparison.sums.matched[PLACE] == pytest.approx(sums_of([0.3, 0.1]))
    assert (whole(comparison).rows, whole(comparison).expected_rows) == (0, 0.0)


def test_replacement_that_is_called_ten_times_as_often_is_named() -> None:
    comparison = make_comparison()
    for number in range(6):
        many = called(*[0.02] * 6000, text="select * from bills")
        at = SETTLED + number * HOUR
        comparison.take(window(at, many, seconds=HOUR), SETTLED)
    (found,) = comparison.results(["invoices"]).values()
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "as often" in found.reason


def test_calls_are_compared_with_those_usual_in_the_time_that_was_watched() -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED, called(*[0.2] * 30), seconds=900.0), SETTLED)
    comparison.take(window(SETTLED + 900, seconds=900.0), SETTLED)
    assert whole(comparison).usual_calls == pytest.approx(USUAL / 2)
    assert whole(comparison).calls_ratio == pytest.approx(0.1)


@pytest.mark.parametrize("settled_at", [None, SETTLED])
def test_deployment_is_judged_from_the_end_of_the_warmup(settled_at: float | None) -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED - 45, called(9.0)), settled_at)
    comparison.take(window(SETTLED - 15, called(9.0)), settled_at)  # it ends in it
    assert comparison.sums.matched[PLACE].calls == 2
    assert comparison.state.hours == {}
    comparison.take(window(SETTLED + 15, called(0.2)), settled_at)
    judged = 0 if settled_at is None else 1
    assert whole(comparison).sums.calls == judged
    assert whole(comparison).watched_hours == pytest.approx(judged * 30 / HOUR)


def test_judging_begins_again_when_the_warmup_moves() -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED, called(9.0)), SETTLED)
    comparison.take(window(SETTLED + 60, called(0.2)), SETTLED + HOUR)
    assert (comparison.state.hours, comparison.state.statements) == ({}, {})
    comparison.take(window(SETTLED + HOUR, called(0.2)), SETTLED + HOUR)
    assert whole(comparison).sums == pytest.approx(sums_of([0.2]))
    assert whole(comparison).covered_seconds == pytest.approx(0.2)
    assert comparison.sums.matched[PLACE].calls == 3


@pytest.mark.parametrize("hours", [1, 7, 30])
def test_change_is_that_of_the_rule_over_the_hours_that_were_watched(hours: int) -> None:
    comparison = make_comparison()
    times = [0.3, 0.5, 0.2, 0.4, 0.3]
    for number in range(hours):
        comparison.take(window(SETTLED + HOUR * number, called(*times), seconds=HOUR), SETTLED)
    (found,) = comparison.results(["invoices"]).values()
    assert found.whole.change == compare(found.whole.calls.sums, NOISE, hours)
    assert found.last_day.calls.watched_hours == min(hours, 24)


def test_hours_older_than_a_week_are_forgotten() -> None:
    comparison = make_comparison()
    for number in range(170):
        comparison.take(window(SETTLED + HOUR * number, called(0.2), seconds=HOUR), SETTLED)
    assert sorted(comparison.state.hours) == [SETTLED + HOUR * number for number in range(2, 170)]


def test_all_that_was_counted_outlives_a_restart(tmp_path: Path) -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED, called(0.3), called(0.1, text=UNKNOWN)), SETTLED)
    comparison.save(scope(StateStore(tmp_path / "state.sqlite3")).of(OWNER))
    comparison.take(window(SETTLED + HOUR, called(0.3)), SETTLED)
    state = written(comparison, tmp_path)
    assert state == comparison.state
    again = make_comparison(before=state)
    assert again.sums.counted_at == SETTLED + HOUR + 30
    for each in (again, comparison):
        each.take(window(SETTLED + 2 * HOUR, called(0.7)), SETTLED)
    assert again.state.hours == comparison.state.hours
    assert again.sums.since == comparison.sums.since


def test_what_a_restart_of_judging_forgets_is_not_read_again(tmp_path: Path) -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED, called(0.3)), SETTLED)
    written(comparison, tmp_path)
    comparison.take(window(SETTLED + HOUR, called(0.3)), SETTLED + HOUR)
    assert set(written(comparison, tmp_path).hours) == {SETTLED + HOUR}


def test_window_that_is_counted_is_not_counted_again() -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED, called(0.3)), SETTLED)
    comparison.take(window(SETTLED, called(0.3, 0.4), seconds=60.0), SETTLED)
    assert comparison.sums.matched[PLACE].calls == whole(comparison).sums.calls == 1


def test_clock_that_is_set_back_stops_no_counting() -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED + HOUR, called(0.3), seconds=-HOUR), SETTLED)
    comparison.take(window(SETTLED, called(0.3)), SETTLED)
    assert comparison.sums.matched[PLACE].calls == 2


def test_dropped_window_is_named_and_counting_starts_afresh() -> None:
    """Two hours ahead for one poll and then back, as a server's clock was."""
    comparison = make_comparison()
    for at, seconds, dropped in (
        (SETTLED, 30.0, None),
        (SETTLED + 30, 7230.0, Break.CLOCK_STEP),
        (SETTLED + 7260, -7170.0, Break.CLOCK_STEP),
        (SETTLED + 90, 30.0, None),
    ):
        counted = () if dropped else (called(0.3),)
        comparison.take(window(at, *counted, seconds=seconds, dropped=dropped), SETTLED)
    assert whole(comparison).sums.calls == 2
    (found,) = comparison.results(["invoices"]).values()
    assert "calls between 2 pairs of polls not counted: the server's clock was set" in found.facts


def test_another_baseline_takes_the_sums_on_and_judges_again(tmp_path: Path) -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED, called(0.3)), SETTLED)
    other = make_comparison("other", mean=0.4, before=written(comparison, tmp_path))
    assert other.sums.matched == comparison.sums.matched
    assert other.results(["invoices"])["invoices"].whole.change is None
    other.take(window(SETTLED + 30, called(0.4)), SETTLED)
    assert other.sums.matched[PLACE].expected_seconds == pytest.approx(0.2 + 0.4)
    assert whole(other).sums.expected_seconds == pytest.approx(0.4)


def test_unclassified_statement_that_is_surely_slower_is_named_and_fails_nothing() -> None:
    comparison = make_comparison(class_name="other")
    for number in range(6):
        slow = called(*[2.0, 2.2] * 50, class_name="other", rows=300)
        comparison.take(window(SETTLED + HOUR * number, slow, seconds=HOUR), SETTLED)
    (found,) = comparison.results(["other"]).values()
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "surely more than 2 times in single statements: " in found.reason
    assert "select * from invoices` (10 times)" in found.reason
    quiet = make_comparison(class_name="other")
    quiet.take(window(SETTLED, called(0.2, class_name="other")), SETTLED)
    assert quiet.results(["other"])["other"].outcome is Outcome.PASS

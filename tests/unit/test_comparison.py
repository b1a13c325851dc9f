"""What is called now is added up against the baseline: sums that only grow, whatever happens."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.baseline.artefact import Baseline, BaselineClass, BaselineStatement
from exporter.clock import Clock
from exporter.comparison.comparison import (
    COMPARISON,
    ClassResult,
    Comparison,
    ComparisonSums,
)
from exporter.comparison.rule import Noise, Sums, change
from exporter.state import StateStore
from exporter.statements.text import identity
from tests.support.baselines import BASELINE
from tests.support.state import scope
from tests.support.windows import DEPLOYMENT, HOUR, MONDAY, called, window

PLACE = ("invoices", "anon")
MEAN, VARIANCE = 0.2, 0.01
NOISE = Noise(0.05, 0.1)
SETTLED = MONDAY + HOUR
UNKNOWN = "select id from invoices where paid"


def make_baseline(mean: float = MEAN) -> Baseline:
    return BASELINE.model_copy(
        update={
            "statements": (
                BaselineStatement(
                    id=identity("select * from invoices") or "",
                    role="anon",
                    class_name="invoices",
                    text=None,
                    calls=100,
                    seconds=100 * mean,
                    squared_deviation=1.0,
                    variance=VARIANCE,
                ),
            ),
            "classes": (
                BaselineClass(
                    class_name="invoices",
                    role="anon",
                    calls=100,
                    seconds=100 * mean,
                    relative_error=NOISE.relative_error,
                    hour_log_stddev=NOISE.hour_log_stddev,
                ),
            ),
        }
    )


def make_comparison(
    digest: str = "one",
    mean: float = MEAN,
    hour: float = HOUR,
    before: ComparisonSums | None = None,
) -> Comparison:
    return Comparison(make_baseline(mean), digest, DEPLOYMENT, Clock(hour), before)


def written(comparison: Comparison) -> ComparisonSums:
    """Return the sums as they come back after a restart."""
    nowhere = scope(StateStore(Path("/nonexistent"), read_only=True))
    found = COMPARISON.decoded(nowhere, "sums", COMPARISON.encoded(comparison.sums))
    assert found is not None
    return found


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
    split, whole = make_comparison(), make_comparison()
    everything = [time for times in windows for time in times]
    for number, times in enumerate(windows):
        before = split.sums.matched[PLACE]
        split.take(window(SETTLED + 30 * number, called(*times)), SETTLED)
        assert all(new >= old for new, old in zip(split.sums.matched[PLACE], before, strict=True))
    whole.take(window(SETTLED, called(*everything)), SETTLED)
    expected = pytest.approx(sums_of(everything), rel=1e-6)
    for comparison in (split, whole):
        assert comparison.sums.matched[PLACE] == expected
        assert comparison.sums.since.matched[PLACE] == expected
    assert split.sums.since.watched_seconds == 30 * len(windows)


def test_calls_without_a_baseline_are_not_matched_but_lower_the_coverage() -> None:
    comparison = make_comparison()
    unknown = called(0.3, text=UNKNOWN)
    other_role = called(0.4, role="other")
    nameless = called(0.1, text=None)
    refund = called(7.0, text="select * from refunds", class_name="refunds")
    counted = (called(0.8), unknown, other_role, nameless, refund)
    comparison.take(window(SETTLED, *counted), SETTLED)
    assert comparison.sums.matched == {PLACE: pytest.approx(sums_of([0.8]))}
    changes = comparison.changes(["invoices", "refunds", "other"])
    assert changes["invoices"].coverage == pytest.approx(0.8 / 1.6)
    assert changes["refunds"] == ClassResult(None, 0.0)
    assert changes["other"] == ClassResult(None, None)


def test_replacement_is_matched() -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED, called(0.3, 0.1, text="select * from bills")), SETTLED)
    assert comparison.sums.matched[PLACE] == pytest.approx(sums_of([0.3, 0.1]))


@pytest.mark.parametrize("settled_at", [None, SETTLED])
def test_deployment_is_judged_from_the_end_of_the_warmup(settled_at: float | None) -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED - 45, called(9.0)), settled_at)
    comparison.take(window(SETTLED - 15, called(9.0)), settled_at)  # it ends in it
    assert comparison.sums.matched[PLACE].calls == 2
    assert comparison.sums.since.matched == {}
    assert comparison.sums.since.watched_seconds == 0.0
    comparison.take(window(SETTLED + 15, called(0.2)), settled_at)
    judged = 0 if settled_at is None else 1
    assert comparison.sums.since.matched.get(PLACE, Sums()).calls == judged
    assert comparison.sums.since.watched_seconds == 30.0 * judged


def test_judging_begins_anew_when_the_warmup_moves() -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED, called(9.0)), SETTLED)
    comparison.take(window(SETTLED + 60, called(0.2)), SETTLED + HOUR)
    assert comparison.sums.since.matched == {}
    comparison.take(window(SETTLED + HOUR, called(0.2)), SETTLED + HOUR)
    assert comparison.sums.since.matched == {PLACE: pytest.approx(sums_of([0.2]))}
    assert comparison.sums.since.seconds == {"invoices": pytest.approx(0.2)}
    assert comparison.sums.matched[PLACE].calls == 3


@pytest.mark.parametrize("hours", [1, 2, 30])
def test_change_is_that_of_the_rule_over_the_hours_that_were_watched(hours: int) -> None:
    comparison = make_comparison(hour=30.0)
    times = [0.3, 0.5, 0.2, 0.4, 0.3]
    for number in range(hours):
        comparison.take(window(SETTLED + 30 * number, called(*times)), SETTLED)
    (found,) = comparison.changes(["invoices"]).values()
    assert found.coverage == pytest.approx(1.0)
    assert found.change is not None
    expected = change(sums_of(times * hours), NOISE, hours)
    assert expected is not None
    assert tuple(found.change) == pytest.approx(tuple(expected))


def test_all_that_was_counted_outlives_a_restart() -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED, called(0.3), called(0.1, text=UNKNOWN)), SETTLED)
    again = make_comparison(before=written(comparison))
    assert again.sums == comparison.sums
    assert again.sums.counted_at == SETTLED + 30
    for each in (again, comparison):
        each.take(window(SETTLED + 30, called(0.7)), SETTLED)
    assert again.sums.matched == comparison.sums.matched
    assert again.sums.since == comparison.sums.since


def test_window_that_is_counted_is_not_counted_again() -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED, called(0.3)), SETTLED)
    before = written(comparison)
    comparison.take(window(SETTLED, called(0.3, 0.4), seconds=60.0), SETTLED)
    assert (comparison.sums.matched, comparison.sums.since) == (before.matched, before.since)


def test_clock_that_is_set_back_stops_no_counting() -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED + HOUR, called(0.3), seconds=-HOUR), SETTLED)
    comparison.take(window(SETTLED, called(0.3)), SETTLED)
    assert comparison.sums.matched[PLACE].calls == 2
    assert comparison.sums.since.watched_seconds == 30.0


def test_another_baseline_takes_the_sums_on_and_judges_anew() -> None:
    comparison = make_comparison()
    comparison.take(window(SETTLED, called(0.3)), SETTLED)
    other = make_comparison("other", mean=0.4, before=written(comparison))
    assert other.sums.matched == comparison.sums.matched
    assert other.changes(["invoices"]) == {"invoices": ClassResult(None, None)}
    other.take(window(SETTLED + 30, called(0.4)), SETTLED)
    assert other.sums.matched[PLACE].expected_seconds == pytest.approx(0.2 + 0.4)
    assert other.sums.since.matched[PLACE].expected_seconds == pytest.approx(0.4)

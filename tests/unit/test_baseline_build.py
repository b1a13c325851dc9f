"""A baseline says what the calls of each statement were, and how much the hours differ."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.baseline.fit import provenance_of
from exporter.clock import Clock
from exporter.comparison.profile import ENOUGH_CALLS, ENOUGH_HOURS
from exporter.comparison.window_noise import DEFAULT_LOG_STDDEV
from exporter.learning.build import MOST_BY_HOUR, build
from exporter.learning.hours import LearnedHour
from exporter.learning.survey import MOST_STATEMENTS_KEPT
from exporter.statements.text import identity
from tests.support.windows import DEPLOYMENT, FACTS, HOUR, MONDAY, called, delta_of, window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.baseline.artefact import Baseline
    from exporter.statements.tally import Counted

INVOICES = "select * from invoices"
REFUNDS = "select * from refunds"


def hour(number: int, *counted: Counted, excluded: str | None = None) -> LearnedHour:
    """Return an hour, that many since Monday began, with what was called in it."""
    bucket = LearnedHour(MONDAY + number * HOUR, excluded=excluded)
    bucket.add(window(bucket.start, *counted))
    return bucket


def built(
    *hours: LearnedHour, texts: dict[str, str] | None = None, hour_seconds: float = HOUR
) -> Baseline:
    """Return the baseline of these hours."""
    return build(
        lambda: [(hour.start, hour.recorded()) for hour in hours],
        DEPLOYMENT,
        bucket_seconds=HOUR,
        clock=Clock(hour_seconds),
        identity=provenance_of(FACTS, None),
        source="automatic",
        texts=texts or {},
        gauges=(),
    )


def even(seconds: float, calls: int = 100) -> Counted:
    """Return calls that take so long on average, half of them 10 % less and half 10 % more."""
    return called(*[seconds * 0.9, seconds * 1.1] * (calls // 2))


_times = st.lists(st.floats(1e-4, 1e3), min_size=1, max_size=5)


@given(st.lists(_times, min_size=1, max_size=9))
def test_sums_are_those_of_the_calls(hours: list[list[float]]) -> None:
    baseline = built(*(hour(number, called(*times)) for number, times in enumerate(hours)))
    (statement,) = baseline.statements
    times = [time for each in hours for time in each]
    whole = delta_of(times)
    assert statement.calls == len(times)
    assert statement.seconds == pytest.approx(whole.seconds, rel=1e-12)


def test_statement_is_kept_by_text_and_role() -> None:
    baseline = built(
        hour(0, called(0.1), called(0.5, role="other"), called(0.7, text=REFUNDS)),
        texts={identity(INVOICES) or "": INVOICES, "0f" * 8: "of no use"},
    )
    found = {(each.text, each.role, each.seconds) for each in baseline.statements}
    assert found == {(INVOICES, "anon", 0.1), (INVOICES, "other", 0.5), (None, "anon", 0.7)}


def test_excluded_hours_are_named_and_count_for_nothing() -> None:
    baseline = built(
        hour(0, called(9.0), excluded="statistics were reset"),
        hour(1, called(0.1)),
        hour(2, called(9.0), called(1.0, text=REFUNDS), excluded="the server was restarted"),
        hour(4, called(0.3)),
    )
    (statement,) = baseline.statements
    assert (statement.calls, statement.seconds) == pytest.approx((2, 0.4))
    window = baseline.window
    assert (window.start.timestamp(), window.end.timestamp()) == (MONDAY + HOUR, MONDAY + 5 * HOUR)
    assert window.buckets == 2
    assert [(each.start.timestamp(), each.reason) for each in window.excluded] == [
        (MONDAY, "statistics were reset"),
        (MONDAY + 2 * HOUR, "the server was restarted"),
    ]
    assert [(each.calls, each.class_name) for each in baseline.classes] == [(2, "invoices")]


def test_baseline_of_nothing_covers_no_time() -> None:
    baseline = built(hour(0, called(0.1), excluded="statistics were reset"))
    assert (baseline.statements, baseline.classes, baseline.window.buckets) == ((), (), 0)
    assert baseline.window.start == baseline.window.end == baseline.created_at


def _strangers(numbers: range, seconds: float) -> list[Counted]:
    return [
        called(seconds + number * 1e-6, text=f"select column_{number}", class_name="other")
        for number in numbers
    ]


def test_statements_of_a_class_are_kept_first_and_then_those_that_took_most_time() -> None:
    many = range(MOST_STATEMENTS_KEPT + 5)
    baseline = built(hour(0, *_strangers(many, 5.0), called(0.1), called(0.2, text=REFUNDS)))
    assert {each.class_name for each in baseline.statements[:2]} == {"invoices"}
    assert (len(baseline.statements), baseline.left_out) == (MOST_STATEMENTS_KEPT, 7)
    kept = sorted(each.seconds for each in baseline.statements[2:])
    assert kept == pytest.approx([5.0 + number * 1e-6 for number in many[7:]])


def test_hours_are_told_apart_for_the_first_of_these_and_for_no_others() -> None:
    texts = [f"select column_{number}" for number in range(MOST_BY_HOUR)]
    hours = [
        hour(
            9 + at + 24 * day,
            *(called(*[5.0 + at] * ENOUGH_CALLS, text=each, class_name="other") for each in texts),
            called(*[0.1 + at] * ENOUGH_CALLS),
        )
        for day in range(ENOUGH_HOURS)
        for at in range(2)
    ]
    baseline = built(*hours)
    assert baseline.statements[0].class_name == "invoices"
    told = [set(each.hours_of_day) == {9, 10} for each in baseline.statements]
    assert told == [True] * MOST_BY_HOUR + [False]
    assert not baseline.statements[-1].hours_of_day


def test_statements_that_come_and_go_cost_those_that_stay_nothing() -> None:
    steady = called(0.5, text="select steady", class_name="other")
    strangers = [range(start, start + 4000) for start in range(0, 24_000, 4000)]
    baseline = built(
        *(
            hour(number, called(0.1), steady, *_strangers(numbers, 0.4))
            for number, numbers in enumerate(strangers)
        )
    )
    found = {each.id: (each.calls, each.seconds) for each in baseline.statements}
    assert found[identity(INVOICES) or ""] == pytest.approx((6, 0.6))
    assert found[identity("select steady") or ""] == pytest.approx((6, 3.0))
    assert (len(found), baseline.left_out) == (MOST_STATEMENTS_KEPT, 24_002 - MOST_STATEMENTS_KEPT)


def test_statement_whose_class_has_changed_is_one_statement_of_the_new_class() -> None:
    baseline = built(
        hour(0, called(0.1, class_name="other")), hour(1, called(0.3)), hour(2, called(0.2))
    )
    (statement,) = baseline.statements
    assert (statement.class_name, statement.calls) == ("invoices", 3)
    assert [(each.class_name, each.calls) for each in baseline.classes] == [("invoices", 3)]


@pytest.mark.parametrize(
    ("calls", "is_enough"),
    [
        ([ENOUGH_CALLS] * ENOUGH_HOURS, True),
        ([ENOUGH_CALLS] * (ENOUGH_HOURS - 1) + [ENOUGH_CALLS - 1] * 9, False),
        ([ENOUGH_CALLS * 10] * (ENOUGH_HOURS - 1), False),
    ],
)
def test_hour_has_expectations_of_its_own_where_there_is_enough(
    calls: Sequence[int], is_enough: bool
) -> None:
    """The same two hours of the week, over and over, one of them four times as slow."""
    hours = [
        hour(at + 168 * week, called(*[0.2 if at == 9 else 0.8] * count))
        for week, count in enumerate(calls)
        for at in (9, 10)
    ]
    (statement,) = built(*hours).statements
    assert (set(statement.hours_of_week) == {9, 10}) is is_enough
    assert (set(statement.hours_of_day) == {9, 10}) is is_enough
    if is_enough:
        cell = statement.hours_of_week[9]
        assert cell.seconds / cell.calls == pytest.approx(0.2)
        assert cell.calls == sum(calls)


def test_weekend_is_a_day_of_its_own() -> None:
    def of(*days: int) -> Baseline:
        return built(
            *(
                hour(at + 24 * day, even((0.2 if day % 7 < 5 else 0.8) * (1 + at % 9)))
                for day in sorted(days)
                for at in (9, 10)
            )
        )

    working_days = [day for day in range(14) if day % 7 < 5]
    (statement,) = of(*working_days, 5, 12).statements
    assert set(statement.hours_of_day) == {9, 10}, "two Saturdays are not enough"
    assert statement.hours_of_day[9].seconds / statement.hours_of_day[9].calls < 0.3
    (statement,) = of(*working_days, 5, 12, 6, 13).statements
    assert set(statement.hours_of_day) == {9, 10, 33, 34}


def test_noise_is_that_of_the_hours_about_what_was_to_be_expected() -> None:
    draw = random.Random(7)
    means = [0.2 * math.exp(draw.gauss(0, 0.3)) for _ in range(20)]
    (of_class,) = built(*(hour(number, even(mean)) for number, mean in enumerate(means))).classes
    assert of_class.hour_log_stddev == pytest.approx(0.3, rel=0.4)
    assert of_class.hour_log_stddev >= of_class.six_hours_log_stddev >= of_class.day_log_stddev > 0
    assert of_class.calls == 2000
    assert of_class.seconds == pytest.approx(100 * sum(means))


def test_calls_of_statements_that_are_not_kept_are_usual_too() -> None:
    many = range(MOST_STATEMENTS_KEPT + 5)
    baseline = built(hour(0, *_strangers(many, 5.0)))
    (of_class,) = baseline.classes
    watched = 30.0
    assert of_class.usual_calls == pytest.approx((len(many) * HOUR / watched,) * 168)


def test_level_is_that_of_the_last_week_and_rows_are_per_call() -> None:
    old = [hour(24 * day, called(*[0.1] * 50, rows=100)) for day in range(10)]
    new = [hour(24 * day, called(*[0.2] * 50, rows=150)) for day in range(10, 17)]
    (statement,) = built(*old, *new).statements
    assert statement.seconds / statement.calls == pytest.approx(0.2)
    assert statement.rows / statement.calls == 3.0
    assert statement.calls == 350


def test_what_incidents_would_have_moved_is_in_the_document() -> None:
    baseline = _week_with_slow_hours(20, times=30)
    (statement,), (of_class,) = baseline.statements, baseline.classes
    assert statement.hours_left_out == 1
    assert statement.moved == of_class.moved == pytest.approx(1 + 29 / 40)
    assert statement.seconds / statement.calls == pytest.approx(0.2)


def test_rhythm_of_the_day_is_no_noise() -> None:
    days = [hour(24 * day + at, even(0.2 * (at + 1))) for day in range(5) for at in range(6)]
    (of_class,) = built(*days).classes
    assert of_class.hour_log_stddev == pytest.approx(0.0, abs=1e-6)


def test_minutes_that_are_alike_do_not_make_hours_alike() -> None:
    parts = [hour(number, even(0.2)) for number in range(20)]
    (sure,) = built(*parts).classes
    (unsure,) = built(*parts, hour_seconds=20 * HOUR).classes
    assert sure.hour_log_stddev == 0.0
    assert unsure.hour_log_stddev == DEFAULT_LOG_STDDEV
    assert unsure.relative_error >= DEFAULT_LOG_STDDEV > sure.relative_error


def _week_with_slow_hours(*slow: int, times: float = 3.0) -> Baseline:
    return built(
        *(hour(number, even(0.2 * times if number in slow else 0.2)) for number in range(40))
    )


def test_rule_is_tried_on_the_baseline_itself() -> None:
    calm = _week_with_slow_hours().backtest
    assert (calm.windows, calm.pages, calm.tickets) == (40, 0, 0)
    assert _week_with_slow_hours(20).backtest.pages == 0
    assert _week_with_slow_hours(20, 21).backtest.pages >= 1

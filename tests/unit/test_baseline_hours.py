"""Hours of statements as rows of numbers, and what a call is expected to take by hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from exporter.baseline.buckets import Bucket, Statement
from exporter.baseline.build import MOST_BY_HOUR, build
from exporter.baseline.expectations import by_hour
from exporter.baseline.hours import collect
from exporter.baseline.survey import Name
from exporter.catalog.deployment import OTHER
from exporter.statements.counters import Delta
from tests.baselines import BASELINE, IDENTITY, START
from tests.watching import shipped

if TYPE_CHECKING:
    from collections.abc import Sequence

HOUR = 3600.0
ONE, ANOTHER = (Name(digit * 64, "anon") for digit in "ab")

deltas = st.builds(
    Delta, st.integers(1, 2**40), st.floats(0, 1e9), st.floats(0, 1e9), *[st.just(0)] * 3
)


def buckets_of(hours: Sequence[Delta | None]) -> list[Bucket]:
    """Return consecutive hours of `ONE`, of which None is one without a call."""
    statement = Statement(*ONE, OTHER)
    return [
        Bucket(number * HOUR, HOUR, {statement: delta} if delta else {})
        for number, delta in enumerate(hours)
    ]


@given(st.lists(st.none() | deltas, max_size=20))
def test_hours_come_out_as_they_went_in_but_for_those_without_a_call(
    hours: list[Delta | None],
) -> None:
    collected = collect(buckets_of(hours), [ONE, ANOTHER], len(hours))
    expected = [(number * HOUR, delta) for number, delta in enumerate(hours) if delta]
    assert list(collected[ONE]) == expected
    assert list(collected[ANOTHER]) == []


def test_an_hour_that_is_excluded_or_lost_meanwhile_is_no_hour() -> None:
    delta = Delta(3, 1.5, 0.25, 0, 0, 0)
    buckets = buckets_of([delta] * 3)
    buckets[1].excluded = "the server was restarted"
    assert list(collect(buckets, [ONE], 3)[ONE]) == [(0.0, delta), (2 * HOUR, delta)]


def test_a_call_is_expected_by_hour_of_week_else_of_day_else_overall() -> None:
    statement = BASELINE.statements[0]
    expected = by_hour(statement)
    week, day = statement.hours_of_week, statement.hours_of_day
    assert expected[9] == (week[9].seconds / week[9].calls, week[9].variance)
    assert expected[24 + 9] == (day[9].seconds / day[9].calls, day[9].variance)
    assert expected[0] == (statement.seconds / statement.calls, statement.variance)
    assert len(expected) == 7 * 24


def test_only_the_statements_that_matter_most_have_expectations_by_hour() -> None:
    often = Delta(30, 1.0, 0.1, 0, 0, 0)
    ordinary = [Statement(f"{number:064x}", "anon", OTHER) for number in range(MOST_BY_HOUR)]
    in_a_class = Statement("f" * 64, "anon", "sums")
    rare = Delta(30, 0.001, 0.0, 0, 0, 0)
    hour = {**dict.fromkeys(ordinary, often), in_a_class: rare}
    weeks = [Bucket(START.timestamp() + week * 168 * HOUR, HOUR, dict(hour)) for week in range(3)]
    baseline = build(
        lambda: weeks,
        shipped().deployment,
        bucket_seconds=HOUR,
        hour_seconds=HOUR,
        identity=IDENTITY,
        source="automatic",
        texts={},
        gauges=(),
    )
    told = [bool(statement.hours_of_week) for statement in baseline.statements]
    assert baseline.statements[0].class_name == "sums"
    assert told == [True] * MOST_BY_HOUR + [False]

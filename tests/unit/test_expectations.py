"""A call is held against what its statement, as its role, took at such an hour."""

from __future__ import annotations

from datetime import timedelta

import pytest

from exporter.baseline.artefact import Baseline, BaselineClass, BaselineStatement, Cell
from exporter.clock import Clock
from exporter.comparison.expectations import Expectations, Known, PerCall
from exporter.comparison.profile import Expected
from exporter.comparison.window_noise import BaselineNoise
from exporter.statements.text import identity
from tests.support.baselines import BASELINE
from tests.support.windows import DEPLOYMENT, HOUR, MONDAY

OLD = identity("SELECT * FROM invoices") or ""
NEW = identity("select *  FROM bills -- since then") or ""
SATURDAY = MONDAY + 5 * 24 * HOUR


def statement(
    known_by: str, seconds: float, calls: int = 10, role: str = "anon"
) -> BaselineStatement:
    return BaselineStatement(
        id=known_by,
        role=role,
        class_name="invoices",
        text=None,
        calls=calls,
        seconds=seconds,
        rows=3 * calls,
        blocks=5 * calls,
        variance=0.5,
        hours_of_week={9: Cell(4, 8.0, 0.1)},
        hours_of_day={9: Cell(10, 30.0, 0.2), 10: Cell(10, 40.0, 0.3), 33: Cell(10, 50.0, 0.4)},
    )


def expectations(*statements: BaselineStatement, bucket_seconds: float = HOUR) -> Expectations:
    window = BASELINE.window.model_copy(update={"bucket_seconds": bucket_seconds})
    baseline = BASELINE.model_copy(update={"statements": statements, "window": window})
    return Expectations(baseline, DEPLOYMENT.replacements)


def time_of(known: Expectations, statement: str, at: float) -> Expected:
    """Return what a call of a statement is expected to take at a Unix time."""
    found = known.expected(statement, "anon", at)
    assert found is not None
    return found.time


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (MONDAY + 9 * HOUR, Expected(2.0, 0.1)),
        (MONDAY + 7 * 24 * HOUR + 9.9 * HOUR, Expected(2.0, 0.1)),
        (MONDAY + 24 * HOUR + 9 * HOUR, Expected(3.0, 0.2)),
        (MONDAY + 10 * HOUR, Expected(4.0, 0.3)),
        (SATURDAY + 9 * HOUR, Expected(5.0, 0.4)),
        (MONDAY + 11 * HOUR, Expected(1.0, 0.5)),
        (SATURDAY + 10 * HOUR, Expected(1.0, 0.5)),
    ],
    ids=["week", "week after", "day", "same day", "weekend", "overall", "overall at weekend"],
)
def test_hour_of_the_week_comes_before_that_of_the_day_before_all(
    at: float, expected: Expected
) -> None:
    assert time_of(expectations(statement(OLD, 10.0)), OLD, at) == expected


def test_hours_are_as_long_as_those_of_the_baseline() -> None:
    rehearsed = expectations(statement(OLD, 10.0), bucket_seconds=36.0)
    monday = MONDAY - MONDAY % (36.0 * 168) + (168 - 72) * 36.0
    assert time_of(rehearsed, OLD, monday + 9.5 * 36.0) == Expected(2.0, 0.1)
    assert time_of(rehearsed, OLD, monday + 11.5 * 36.0) == Expected(1.0, 0.5)


def test_nothing_is_expected_of_what_was_never_called_nor_of_another_role() -> None:
    known = expectations(statement(OLD, 0.0, calls=0), statement(NEW, 10.0, role="other"))
    assert known.expected(OLD, "anon", MONDAY) is None
    assert known.expected(NEW, "anon", MONDAY) is None
    assert known.expected("0f" * 8, "anon", MONDAY) is None


def test_new_statement_is_held_against_the_one_that_it_replaces() -> None:
    known = expectations(statement(OLD, 70.0))
    assert known.expected(NEW, "anon", MONDAY) == Known(
        Expected(7.0, 0.5), PerCall(3.0, 5.0), is_replaced=True
    )


def test_statement_that_was_there_before_is_held_against_itself() -> None:
    known = expectations(statement(OLD, 70.0), statement(NEW, 20.0))
    assert known.expected(NEW, "anon", MONDAY) == Known(Expected(2.0, 0.5), PerCall(3.0, 5.0))


def test_noise_is_known_by_class_and_role() -> None:
    known = Expectations(BASELINE, ())
    assert known.noise == {
        ("invoices", "authenticated"): BaselineNoise(0.0213, 0.08, 0.06, 0.04),
        ("refunds", "anon"): BaselineNoise(),
    }


def test_baseline_that_knows_nothing_expects_nothing() -> None:
    empty: Baseline = BASELINE.model_copy(update={"statements": ()})
    at = (BASELINE.window.start + timedelta(hours=9)).timestamp()
    assert Expectations(empty, ()).expected(OLD, "anon", at) is None


def of_class(role: str, usual: list[float], class_name: str = "invoices") -> BaselineClass:
    (known, _) = BASELINE.classes
    update = {"class_name": class_name, "role": role, "usual_calls": tuple(usual)}
    return known.model_copy(update=update)


def with_classes(*classes: BaselineClass) -> Expectations:
    statements = (statement(OLD, 10.0, calls=30), statement(NEW, 10.0, calls=10))
    update = {"classes": classes, "statements": statements}
    return Expectations(BASELINE.model_copy(update=update), (), Clock(HOUR))


def test_usual_calls_are_those_of_the_hours_of_the_week_that_pass() -> None:
    known = with_classes(of_class("anon", [float(hour) for hour in range(168)]))
    assert known.usual_calls("invoices", MONDAY + 9 * HOUR, MONDAY + 10 * HOUR) == 9.0
    half = known.usual_calls("invoices", MONDAY + 9.5 * HOUR, MONDAY + 11 * HOUR)
    assert half == pytest.approx(9 / 2 + 10)
    next_week = MONDAY + 168 * HOUR
    assert known.usual_calls("invoices", next_week - HOUR, next_week + HOUR) == 167.0
    assert known.usual_calls("refunds", MONDAY, MONDAY + HOUR) == 0.0
    assert known.usual_calls("invoices", MONDAY + HOUR, MONDAY) == 0.0


def test_people_at_a_psql_count_only_where_nobody_else_calls() -> None:
    both = with_classes(of_class("anon", [5.0] * 168), of_class("other", [7.0] * 168))
    assert both.usual_calls("invoices", MONDAY, MONDAY + HOUR) == 5.0
    assert (both.is_counted("invoices", "anon"), both.is_counted("invoices", "other")) == (
        True,
        False,
    )
    alone = with_classes(of_class("other", [7.0] * 168))
    assert alone.usual_calls("invoices", MONDAY, MONDAY + HOUR) == 7.0
    assert alone.is_counted("invoices", "other")


def test_share_of_calls_is_within_the_class() -> None:
    known = with_classes(of_class("anon", [5.0] * 168))
    assert known.shares_of_calls("invoices") == {OLD: 0.75, NEW: 0.25}
    assert known.shares_of_calls("refunds") == {}

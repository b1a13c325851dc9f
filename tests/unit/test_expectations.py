"""A call is held against what its statement, as its role, took at such an hour."""

from __future__ import annotations

from datetime import timedelta

import pytest

from exporter.baseline.artefact import Baseline, BaselineStatement, Cell
from exporter.comparison.expectations import Expectation, Expectations
from exporter.comparison.rule import Noise
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
        squared_deviation=0.0,
        variance=0.5,
        hours_of_week={9: Cell(4, 8.0, 0.1)},
        hours_of_day={9: Cell(10, 30.0, 0.2), 10: Cell(10, 40.0, 0.3), 33: Cell(10, 50.0, 0.4)},
    )


def expectations(*statements: BaselineStatement, bucket_seconds: float = HOUR) -> Expectations:
    window = BASELINE.window.model_copy(update={"bucket_seconds": bucket_seconds})
    baseline = BASELINE.model_copy(update={"statements": statements, "window": window})
    return Expectations(baseline, DEPLOYMENT.replacements)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (MONDAY + 9 * HOUR, Expectation(2.0, 0.1)),
        (MONDAY + 7 * 24 * HOUR + 9.9 * HOUR, Expectation(2.0, 0.1)),
        (MONDAY + 24 * HOUR + 9 * HOUR, Expectation(3.0, 0.2)),
        (MONDAY + 10 * HOUR, Expectation(4.0, 0.3)),
        (SATURDAY + 9 * HOUR, Expectation(5.0, 0.4)),
        (MONDAY + 11 * HOUR, Expectation(1.0, 0.5)),
        (SATURDAY + 10 * HOUR, Expectation(1.0, 0.5)),
    ],
    ids=["week", "week after", "day", "same day", "weekend", "overall", "overall at weekend"],
)
def test_hour_of_the_week_comes_before_that_of_the_day_before_all(
    at: float, expected: Expectation
) -> None:
    assert expectations(statement(OLD, 10.0)).expected(OLD, "anon", at) == expected


def test_hours_are_as_long_as_those_of_the_baseline() -> None:
    rehearsed = expectations(statement(OLD, 10.0), bucket_seconds=36.0)
    monday = MONDAY - MONDAY % (36.0 * 168) + (168 - 72) * 36.0
    assert rehearsed.expected(OLD, "anon", monday + 9.5 * 36.0) == Expectation(2.0, 0.1)
    assert rehearsed.expected(OLD, "anon", monday + 11.5 * 36.0) == Expectation(1.0, 0.5)


def test_nothing_is_expected_of_what_was_never_called_nor_of_another_role() -> None:
    known = expectations(statement(OLD, 0.0, calls=0), statement(NEW, 10.0, role="other"))
    assert known.expected(OLD, "anon", MONDAY) is None
    assert known.expected(NEW, "anon", MONDAY) is None
    assert known.expected("0f" * 8, "anon", MONDAY) is None


def test_new_statement_is_held_against_the_one_that_it_replaces() -> None:
    known = expectations(statement(OLD, 70.0))
    assert known.expected(NEW, "anon", MONDAY) == Expectation(7.0, 0.5)


def test_statement_that_was_there_before_is_held_against_itself() -> None:
    known = expectations(statement(OLD, 70.0), statement(NEW, 20.0))
    assert known.expected(NEW, "anon", MONDAY) == Expectation(2.0, 0.5)


def test_noise_is_known_by_class_and_role() -> None:
    known = Expectations(BASELINE, ())
    assert known.noise == {
        ("invoices", "authenticated"): Noise(0.0213, 0.08),
        ("refunds", "anon"): Noise(0.0, 0.0),
    }


def test_baseline_that_knows_nothing_expects_nothing() -> None:
    empty: Baseline = BASELINE.model_copy(update={"statements": ()})
    at = (BASELINE.window.start + timedelta(hours=9)).timestamp()
    assert Expectations(empty, ()).expected(OLD, "anon", at) is None

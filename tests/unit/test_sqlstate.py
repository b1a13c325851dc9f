"""How a run ended, by what the server says, and what of that may be repeated."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from exporter.database.sqlstate import describe_error, state_of
from exporter.run_state import State

SECRET = "jane@example.org"


def _error(sqlstate: str | None) -> psycopg.Error:
    if sqlstate is None:
        return psycopg.OperationalError("server closed the connection unexpectedly")
    return errors.lookup(sqlstate)(f"the message quotes {SECRET}")


@pytest.mark.parametrize(
    ("sqlstate", "state"),
    [
        ("42P01", State.ERROR),
        ("42883", State.ERROR),
        ("3F000", State.ERROR),
        ("42704", State.ERROR),
        ("55000", State.ABSENT),
        ("42501", State.DENIED),
        ("55P03", State.LOCKED),
        ("40P01", State.LOCKED),
        ("40001", State.LOCKED),
        ("57014", State.TIMEOUT),
        ("57P01", State.UNREACHABLE),
        ("57P02", State.UNREACHABLE),
        ("57P03", State.UNREACHABLE),
        ("08000", State.UNREACHABLE),
        ("08006", State.UNREACHABLE),
        ("53300", State.UNREACHABLE),
        (None, State.UNREACHABLE),
        ("42703", State.ERROR),
        ("42601", State.ERROR),
        ("42P17", State.ERROR),
        ("22012", State.ERROR),
        ("23505", State.ERROR),
        ("25006", State.ERROR),
        ("28P01", State.ERROR),
        ("53200", State.ERROR),
        ("P0001", State.ERROR),
        ("XX000", State.ERROR),
    ],
)
def test_sqlstate_decides_the_state(sqlstate: str | None, state: State) -> None:
    assert state_of(_error(sqlstate)) is state


def test_error_of_the_client_itself_is_an_error() -> None:
    assert state_of(psycopg.ProgrammingError("the query has 1 placeholder")) is State.ERROR


@pytest.mark.parametrize("sqlstate", ["22012", "22P02", "22003", "23505", "23514", "P0001"])
def test_message_that_may_quote_data_is_withheld(sqlstate: str) -> None:
    described = describe_error(_error(sqlstate))
    assert sqlstate in described
    assert "withheld" in described
    assert SECRET not in described


def test_message_of_a_lost_connection_becomes_one_line() -> None:
    error = psycopg.OperationalError("connection failed:\n\tIs the server\nrunning?\n")
    assert describe_error(error) == "connection failed: Is the server running?"


def test_states_are_told_apart_by_what_they_mean() -> None:
    assert {state for state in State if state.is_success} == {State.OK, State.EMPTY}
    assert {state for state in State if not state.is_failure} == {
        State.OK,
        State.EMPTY,
        State.ABSENT,
        State.UNCONFIGURED,
    }
    assert {state for state in State if state.keeps_values} == {
        State.LOCKED,
        State.LIMITED,
        State.TIMEOUT,
        State.UNREACHABLE,
    }

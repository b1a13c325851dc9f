"""`loom-exporter check --database`: the server reads every query, and runs none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from exporter.run_state import RunError, State
from exporter.sources.inspection import Inspection, inspect
from tests.support.marks import only_18
from tests.support.probes import USERS
from tests.support.watching import (
    FUNCTION_SCHEMA,
    MONITOR,
    OWNER,
    catalog_of,
    deploy,
    install_grants,
    look,
    one_query,
    patient,
    shipped,
)

if TYPE_CHECKING:
    from exporter.catalog import Query
    from tests.support.loom_database import LoomDatabase


def _inspect(loom: LoomDatabase, *queries: Query, user: str = OWNER) -> list[Inspection]:
    return list(inspect(loom.dsn(user), map(patient, queries)))


def _finding(loom: LoomDatabase, query: Query, *, user: str = OWNER) -> tuple[State, str]:
    (finding,) = _inspect(loom, query, user=user)
    assert finding.query == query.name
    return finding.state, finding.detail


def test_shipped_queries_pass_before_and_after_the_deployment(loom: LoomDatabase) -> None:
    install_grants(loom)

    def absent() -> set[str]:
        findings = _inspect(loom, *shipped().queries, user=MONITOR)
        assert [finding.query for finding in findings] == [each.name for each in shipped().queries]
        assert {finding.state for finding in findings} == {State.OK, State.ABSENT}
        return {finding.query for finding in findings if finding.state is State.ABSENT}

    assert absent() == {"mfa_discrepancies_view", "mfa_unified_users", "mfa_refresh_job"}
    deploy(loom, "healthy")
    assert absent() == {"mfa_refresh_job"}


def test_shipped_queries_pass_for_the_owner_without_any_function(loom: LoomDatabase) -> None:
    deploy(loom, "healthy")
    findings = _inspect(loom, *shipped().queries)
    assert {finding.query for finding in findings if finding.state is not State.OK} == {
        "mfa_refresh_job"
    }


@only_18
def test_missing_column_is_named_with_those_that_are_there(loom: LoomDatabase) -> None:
    assert _finding(loom, one_query("SELECT 1 AS one, 2 AS two")) == (
        State.ERROR,
        "no column `value` in the result; it has one, two",
    )


@pytest.mark.parametrize(
    "value", ["now()", "true", "interval '1 second'", "5::oid", "'<a/>'::json"]
)
@only_18
def test_value_that_cannot_become_a_number_is_found(loom: LoomDatabase, value: str) -> None:
    state, detail = _finding(loom, one_query(f"SELECT {value} AS value"))
    assert state is State.ERROR
    assert detail.startswith(("cannot cast type", "Invalid"))


@pytest.mark.parametrize("value", ["'5'::text", "'5'::jsonb", "NULL", "'5'::name"])
@only_18
def test_value_that_may_become_a_number_passes_with_a_note(loom: LoomDatabase, value: str) -> None:
    state, detail = _finding(loom, one_query(f"SELECT {value} AS value"))
    assert state is State.OK
    assert "a run fails at a value that is no number; cast it in the query" in detail


@pytest.mark.parametrize(
    "value", ["1", "1::bigint", "1::smallint", "1::real", "1.5", "1.5::float8"]
)
@only_18
def test_every_kind_of_number_passes(loom: LoomDatabase, value: str) -> None:
    assert _finding(loom, one_query(f"SELECT {value} AS value")) == (State.OK, "")


@pytest.mark.parametrize(
    ("text", "state", "says"),
    [
        ("SELEC 1 AS value FROM x", State.ERROR, "syntax error"),
        ("SELECT unknown AS value FROM public.users", State.ERROR, "unknown"),
        ("SELECT public.nothing() AS value", State.ERROR, "public.nothing()"),
        ("SELECT count(*) AS value FROM public.nowhere", State.ERROR, "public.nowhere"),
        ("SELECT count(*) AS value FROM users", State.ERROR, "users"),
        ("SELECT 1 AS value; SELECT 2", State.ERROR, "multiple commands"),
    ],
    ids=["syntax", "column", "function", "relation", "unqualified", "two statements"],
)
@only_18
def test_fault_of_the_text_is_told_in_the_servers_words(
    loom: LoomDatabase, text: str, state: State, says: str
) -> None:
    # As if it had got past the check of the file, where that would have found it.
    query = replace(one_query("SELECT 1 AS value"), text=text)
    found, detail = _finding(loom, query)
    assert found is state
    assert says in detail


@only_18
def test_function_that_is_missing_outdated_or_not_ours_is_told(loom: LoomDatabase) -> None:
    query = one_query(USERS, "access: definer")
    note = "no function installed; the text runs with the rights of this role"
    assert _finding(loom, query) == (State.OK, note)

    install_grants(loom, catalog_of(query))
    assert _finding(loom, query, user=MONITOR) == (State.OK, f"through {FUNCTION_SCHEMA}.probe()")

    changed = replace(query, text=USERS + " WHERE true")
    state, detail = _finding(loom, changed, user=MONITOR)
    assert state is State.OUTDATED
    assert "run `loom-exporter grants` again" in detail

    state, detail = _finding(loom, query, user="authenticator")
    assert state is State.DENIED
    assert f"connect as {MONITOR}" in detail


@only_18
def test_faults_of_one_query_hide_no_other(loom: LoomDatabase) -> None:
    queries = [
        one_query("SELECT 1 AS value", name="first"),
        one_query("SELECT count(*) AS value FROM public.nowhere", name="second"),
        one_query("SELECT 1 AS one", name="third"),
        one_query("SELECT 1 AS value", name="fourth"),
    ]
    findings = _inspect(loom, *queries)
    assert [finding.state for finding in findings] == [
        State.OK,
        State.ERROR,
        State.ERROR,
        State.OK,
    ]


@pytest.mark.parametrize("access", ["direct", "definer"])
@only_18
def test_nothing_is_executed(loom: LoomDatabase, access: str) -> None:
    query = one_query(
        "SELECT nextval('public.numbers') + length(pg_sleep(60)::text) AS value",
        f"access: {access}\ntimeout: 30s",
    )
    with loom.connect(OWNER) as connection:
        connection.execute("CREATE SEQUENCE public.numbers")
        assert _finding(loom, query)[0] is State.OK
        assert connection.execute("SELECT is_called FROM public.numbers").fetchall() == [(False,)]


@only_18
def test_locked_table_holds_the_inspection_up_no_longer_than_a_run(loom: LoomDatabase) -> None:
    with loom.connect(OWNER) as migration, migration.transaction():
        migration.execute("LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE")
        assert _finding(loom, one_query(USERS))[0] is State.LOCKED


@only_18
def test_unreachable_database_is_an_error_and_no_finding(loom: LoomDatabase) -> None:
    with pytest.raises(RunError) as error:
        list(inspect(loom.dsn(OWNER, "wrong"), shipped().queries))
    assert error.value.state is State.UNREACHABLE


@only_18
def test_function_whose_names_depend_on_the_search_path_is_told(loom: LoomDatabase) -> None:
    with loom.connect(OWNER) as connection:
        for name, settings in (("plain", ""), ("pinned", "SET search_path = public")):
            connection.execute(
                f"CREATE FUNCTION public.{name}() RETURNS bigint LANGUAGE plpgsql {settings}"
                " AS 'BEGIN RETURN (SELECT count(*) FROM users); END'".encode()
            )
    plain, pinned, standard = (
        one_query(f"SELECT {call} AS value", name=name)
        for name, call in (
            ("plain", "public.plain()"),
            ("pinned", "public.pinned()"),
            ("standard", "pg_catalog.pg_backend_pid()"),
        )
    )
    found = {each.query: each for each in _inspect(loom, plain, pinned, standard)}
    assert {each.state for each in found.values()} == {State.OK}
    assert found["plain"].detail.startswith("calls public.plain, which looks up its own names")
    assert found["pinned"].detail == found["standard"].detail == ""
    assert look(loom, plain, user=OWNER)["plain"].state is State.ERROR
    assert look(loom, pinned, user=OWNER)["pinned"].state is State.OK

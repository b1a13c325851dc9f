"""Settings of a server or role change neither an answer nor a label, and stop no query."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from exporter.run_state import State
from tests.support.marks import only_18
from tests.support.observers import HANG_SECONDS
from tests.support.standby import standby_of
from tests.support.watching import (
    MONITOR,
    OWNER,
    PATIENCE_SECONDS,
    deploy,
    install_grants,
    look,
    one_query,
    watching,
)

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from tests.conftest import NewServer
    from tests.support.loom_database import LoomDatabase

HOSTILE = {
    "standard_conforming_strings": "off",
    "backslash_quote": "on",
    "DateStyle": "German, DMY",
    "IntervalStyle": "iso_8601",
    "TimeZone": "Asia/Kathmandu",
    "bytea_output": "escape",
    "extra_float_digits": "-3",
    "quote_all_identifiers": "on",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "gin_fuzzy_search_limit": "1",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "default_transaction_read_only": "off",
    "search_path": "public, pg_catalog",
}

FORMS = {
    "regular expression": r"('word' ~ 'word\M')::text",
    "date": "date '2026-02-01'",
    "parsed date": "'03/04/2026'::date",
    "time": "timestamptz '2026-02-01 00:00:00+00'",
    "interval": "interval '1 day 2 hours'",
    "bytes": r"'\x00ff'::bytea",
    "float": "0.1::float8 + 0.2",
    "name": "'pg_class'::regclass",
    "array": "'{1,NULL}'::text[]",
    "comparison with NULL": "(current_setting('nothing.there', true) = NULL)::text",
}
"""An expression of each kind whose text form, or value, depends on a setting."""


@pytest.fixture
def hostile(loom: LoomDatabase) -> LoomDatabase:
    """Return a database whose settings are unlike the defaults, for every session."""
    with loom.connect() as superuser:
        for name, value in HOSTILE.items():
            superuser.execute(f"ALTER DATABASE loom SET {name} = {_listed(value)}".encode())
    return loom


def _listed(value: str) -> str:
    return ", ".join(f"'{item.strip()}'" for item in value.split(","))


@pytest.fixture
def plain(loom: LoomDatabase) -> dict[str, Any]:
    """Return what is seen on a server with the default settings."""
    install_grants(loom)
    deploy(loom, "healthy")
    _make_cycle(loom)
    return _seen(loom)


def _make_cycle(loom: LoomDatabase) -> None:
    with loom.connect(OWNER) as owner:
        owner.execute(
            "CREATE TABLE public.a (id int); CREATE TABLE public.b (id int);"
            "ALTER TABLE public.a ENABLE ROW LEVEL SECURITY;"
            "ALTER TABLE public.b ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY p ON public.a FOR SELECT USING (EXISTS (SELECT FROM public.b));"
            "CREATE POLICY p ON public.b FOR SELECT USING (EXISTS (SELECT FROM public.a))"
        )


def _seen(loom: LoomDatabase) -> dict[str, Any]:
    forms = one_query(
        " UNION ALL ".join(
            f"SELECT '{kind}' AS kind, coalesce(({form})::text, 'NULL') AS form, 1 AS value"
            for kind, form in FORMS.items()
        ),
        "metrics: {probe: {type: gauge, help: A probe., labels: [kind, form], value: value}}",
        name="forms",
    )
    seen = look(loom, forms)["forms"]
    assert seen.state is State.OK, seen.detail
    shipped = look(loom)
    cycles = shipped["rls_policy_cycles"].samples
    return {
        "forms": {labels[0]: labels[1] for labels in seen.samples["probe"]},
        "states": {name: snapshot.state for name, snapshot in shipped.items()},
        "cycles": cycles["loom_rls_policy_cycle_tables"],
        "policies": shipped["rls_policies_present"].samples,
    }


@pytest.mark.parametrize("server", [15, 18], indirect=True)
def test_settings_of_the_database_change_no_answer(
    plain: dict[str, Any], hostile: LoomDatabase
) -> None:
    assert plain["cycles"] == {(): 2.0}
    assert plain["forms"]["regular expression"] == "true"
    assert _seen(hostile) == plain


@only_18
def test_function_of_the_search_path_does_not_replace_the_guard(hostile: LoomDatabase) -> None:
    """`public` stands before pg_catalog for the role; the guard must not be looked up there."""
    with hostile.connect(OWNER) as owner:
        owner.execute(
            "CREATE FUNCTION public.set_config(text, text, boolean) RETURNS text"
            " LANGUAGE sql AS 'SELECT $2'"
        )
    query = one_query(
        "SELECT current_setting('lock_timeout') AS kind, 1 AS value",
        "metrics: {probe: {type: gauge, help: A probe., labels: [kind], value: value}}",
    )
    assert look(hostile, query, user=OWNER)["probe"].samples == {"probe": {("250ms",): 1.0}}


@only_18
async def test_temporary_table_of_the_session_does_not_replace_a_catalog(
    loom: LoomDatabase,
) -> None:
    """As behind a pooler, where another client of the same role had the session before."""
    query = one_query("SELECT count(*) AS value FROM pg_class")
    async with watching(loom.dsn(OWNER), query) as watch:

        async def shadow(connection: psycopg.AsyncConnection[Any]) -> None:
            await connection.execute("CREATE TEMPORARY TABLE pg_class ()")

        await watch.database.run(shadow, PATIENCE_SECONDS)
        seen = await watch.look()
    assert seen.samples["probe"][()] > 100


@pytest.mark.parametrize(("deadlock", "lock"), [("1s", "250ms"), ("100ms", "50ms"), ("1ms", "1ms")])
@only_18
def test_wait_for_a_lock_ends_before_the_deadlock_check(
    loom: LoomDatabase, deadlock: str, lock: str
) -> None:
    query = one_query(
        "SELECT current_setting('lock_timeout') AS kind, 1 AS value",
        "metrics: {probe: {type: gauge, help: A probe., labels: [kind], value: value}}",
    )
    with loom.connect() as superuser:
        superuser.execute(f"ALTER DATABASE loom SET deadlock_timeout = '{deadlock}'".encode())
    assert look(loom, query, user=OWNER)["probe"].samples == {"probe": {(lock,): 1.0}}


def test_standby_whose_default_is_serializable_answers_every_query(
    new_server: NewServer, new_loom: LoomDatabase, server_folder: Path
) -> None:
    install_grants(new_loom)
    deploy(new_loom, "healthy")
    with standby_of(
        new_loom.server, server_folder, {"default_transaction_isolation": "serializable"}
    ) as standby:
        deadline = time.monotonic() + HANG_SECONDS
        while set(states := _states(type(new_loom)(standby))) - {
            State.OK,
            State.EMPTY,
            State.ABSENT,
        }:
            assert time.monotonic() < deadline, states
        assert State.OK in states


def _states(loom: LoomDatabase) -> list[State | None]:
    return [snapshot.state for snapshot in look(loom, user=MONITOR).values()]

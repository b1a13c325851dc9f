"""How a run ends: each state told apart, on a real server."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from exporter.database.transaction import LOCK_TIMEOUT_SECONDS
from exporter.run_state import State
from tests.support.marks import only_18
from tests.support.observers import follow
from tests.support.probes import USERS
from tests.support.watching import (
    MONITOR,
    OWNER,
    catalog_of,
    install_grants,
    look,
    one_query,
    watching,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.support.loom_database import LoomDatabase

pytestmark = only_18

# ── denied ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def reader(loom: LoomDatabase) -> Iterator[str]:
    """Return a role that may SELECT everything, under row-level security."""
    with loom.connect() as superuser:
        superuser.execute(
            "DROP ROLE IF EXISTS reader; CREATE ROLE reader;"
            " GRANT USAGE ON SCHEMA public TO reader;"
            " GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"
        )
        loom.allow_login("reader")
        yield "reader"
        superuser.execute("DROP OWNED BY reader; DROP ROLE reader")


def test_reader_under_row_level_security_is_denied_where_it_would_have_seen_zero(
    loom: LoomDatabase, reader: str
) -> None:
    with loom.connect(reader) as connection:
        assert connection.execute(USERS.encode()).fetchall() == [(0,)]
    seen = look(loom, one_query(USERS), user=reader)["probe"]
    assert (seen.state, dict(seen.samples)) == (State.DENIED, {})
    assert "row-level security" in seen.detail


def test_missing_privilege_is_denied(loom: LoomDatabase) -> None:
    install_grants(loom)
    seen = look(loom, one_query(USERS))["probe"]
    assert (seen.state, dict(seen.samples)) == (State.DENIED, {})


# ── absent, empty ────────────────────────────────────────────────────────────────────────────────


def test_what_the_header_requires_and_is_missing_is_absent_without_an_error_in_the_log(
    loom: LoomDatabase,
) -> None:
    queries = [
        one_query(
            "SELECT count(*) AS value FROM public.nowhere",
            "requires: {relations: [public.users, public.nowhere]}",
            name="relation",
        ),
        one_query(
            "SELECT count(*) AS value FROM cron.job",
            "requires: {extensions: [pg_cron]}",
            name="extension",
        ),
        one_query("SELECT 1 AS value", 'requires: {server: ">= 99"}', name="server"),
    ]
    log = follow(loom.server.log)
    seen = look(loom, *queries, user=OWNER)
    assert {name: each.state for name, each in seen.items()} == {
        "relation": State.ABSENT,
        "extension": State.ABSENT,
        "server": State.ABSENT,
    }
    assert seen["relation"].detail == "not there, or not populated: public.nowhere"
    assert "ERROR" not in log()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT count(*) AS value FROM public.nowhere",
        "SELECT count(*) AS value FROM nowhere.nothing",
        "SELECT public.nothing() AS value",
        "SELECT 'nowhere'::regrole::oid::bigint AS value",
        "SELECT round(1.5::double precision, 1) AS value",
        "SELECT cuont(*) AS value FROM public.users",
        "SELECT '5'::integerr AS value",
        "SELECT count(*) AS value FROM public.users WHERE lower(email) = 5",
    ],
)
def test_name_that_no_header_announces_as_missing_is_a_mistake(
    loom: LoomDatabase, text: str
) -> None:
    assert look(loom, one_query(text), user=OWNER)["probe"].state is State.ERROR
    announced = one_query(text, "requires: {relations: [public.users]}")
    assert look(loom, announced, user=OWNER)["probe"].state is State.ERROR


async def test_required_table_that_goes_between_the_look_and_the_query_is_absent(
    loom: LoomDatabase, owner: psycopg.Connection[Any]
) -> None:
    # The query waits for the lock of the DROP, within its 250 ms, and then the table is gone.
    query = one_query("SELECT value FROM public.probe", "requires: {relations: [public.probe]}")
    async with watching(loom.dsn(OWNER), query) as watch:
        for _ in range(20):
            owner.execute("CREATE TABLE IF NOT EXISTS public.probe (value float8)")
            owner.execute("BEGIN; DROP TABLE public.probe")
            run = asyncio.create_task(watch.look())
            await asyncio.sleep(0.1)
            owner.execute("COMMIT")
            assert (await run).state in (State.ABSENT, State.LOCKED), watch.board["probe"].detail
            if watch.board["probe"].state is State.ABSENT:
                return
    raise AssertionError("each time it was locked")


async def test_object_that_goes_away_takes_its_values_with_it(
    loom: LoomDatabase, owner: psycopg.Connection[Any]
) -> None:
    owner.execute("INSERT INTO public.probe VALUES ('a', 1)")
    query = one_query("SELECT value FROM public.probe", "requires: {relations: [public.probe]}")
    async with watching(loom.dsn(OWNER), query) as watch:
        assert (await watch.look()).samples == {"probe": {(): 1}}
        owner.execute("DROP TABLE public.probe")
        gone = await watch.look()
    assert (gone.state, dict(gone.samples)) == (State.ABSENT, {})


def test_no_row_is_empty(loom: LoomDatabase, owner: psycopg.Connection[Any]) -> None:
    seen = look(loom, one_query("SELECT value FROM public.probe"), user=OWNER)["probe"]
    assert (seen.state, dict(seen.samples)) == (State.EMPTY, {})


# ── locked, timeout ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("access", ["direct", "definer"])
async def test_locked_table_is_waited_for_and_leaves_the_values_with_their_age(
    loom: LoomDatabase, access: str
) -> None:
    query = one_query(USERS, f"access: {access}")
    install_grants(loom, catalog_of(query))
    user = MONITOR if access == "definer" else OWNER
    with loom.connect(OWNER) as migration:
        async with watching(loom.dsn(user), query) as watch:
            before = await watch.look()
            assert before.samples == {"probe": {(): 200}}
            with migration.transaction():
                migration.execute("LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE")
                migration.execute("DELETE FROM public.users WHERE email LIKE 'client%'")
                began = time.monotonic()
                locked = await watch.look()
                took = time.monotonic() - began
            after = await watch.look()
    assert locked.state is State.LOCKED
    assert took >= LOCK_TIMEOUT_SECONDS
    assert locked.samples == before.samples
    assert (locked.last_success_at, locked.expires) == (before.last_success_at, before.expires)
    assert after.state is State.OK
    assert after.samples == {"probe": {(): 40}}


async def test_query_that_is_too_slow_ends_by_its_timeout_and_keeps_its_values(
    loom: LoomDatabase, owner: psycopg.Connection[Any]
) -> None:
    owner.execute("INSERT INTO public.probe VALUES ('pause', 0)")
    query = one_query(
        "SELECT 7 + length(pg_sleep(value)::text) AS value FROM public.probe", "timeout: 10s"
    )
    async with watching(loom.dsn(OWNER), query) as watch:
        before = await watch.look()
        assert before.samples == {"probe": {(): 7}}
        owner.execute("UPDATE public.probe SET value = 30")
        began = time.monotonic()
        late = await watch.look()
        took = time.monotonic() - began
    assert late.state is State.TIMEOUT
    assert 10 <= took < 30, "the query would take half a minute"
    assert (late.samples, late.last_success_at) == (before.samples, before.last_success_at)


async def test_values_that_are_too_old_are_dropped_also_while_the_table_is_locked(
    loom: LoomDatabase,
) -> None:
    query = one_query(USERS, "max_age: 10s")
    with loom.connect(OWNER) as migration:
        async with watching(loom.dsn(OWNER), query) as watch:
            before = await watch.look()
            assert 'probe{database="loom"} 200.0' in await watch.page()
            with migration.transaction():
                migration.execute("LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE")
                while True:
                    assert (await watch.look()).state is State.LOCKED
                    if time.monotonic() > before.expires:
                        break
                page = await watch.page()
    assert "probe{" not in page
    assert 'loom_exporter_query_state{database="loom",query="probe",state="locked"} 1.0' in page

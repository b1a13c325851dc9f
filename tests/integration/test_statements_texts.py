"""Texts of statements that the server cannot give, or not all at once, and settings against it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from structlog.testing import capture_logs

from exporter.run_state import State
from tests.support.observers import HANG_SECONDS, until
from tests.support.statements import own_loom
from tests.support.watching import MONITOR, OWNER, install_grants, watching

if TYPE_CHECKING:
    from tests.conftest import NewServer
    from tests.support.loom_database import LoomDatabase
    from tests.support.watching import Watch

CALLS = "loom_statement_calls_total"
PLACE = ("resource_library", "other")
BULK = 350


@pytest.fixture
def counted(new_server: NewServer) -> LoomDatabase:
    """Return a database on a server of its own, with the monitoring role."""
    loom = own_loom(new_server, 18)
    install_grants(loom)
    return loom


def _work(loom: LoomDatabase, times: int) -> None:
    with loom.connect(OWNER) as owner:
        for _ in range(times):
            owner.execute("SELECT id FROM public.resource_collections LIMIT 3")


async def _texts_are_due(watch: Watch) -> None:
    """Poll as after the pause between two readings of texts."""
    watch.parts.poller._texts._read_at = float("-inf")
    assert (await watch.poll()).state is State.OK


def _call_in_another_encoding(loom: LoomDatabase) -> None:
    with psycopg.connect(loom.server.dsn(), autocommit=True) as superuser:
        superuser.execute(
            "CREATE DATABASE legacy TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'"
        )
    with psycopg.connect(loom.server.dsn("legacy"), autocommit=True) as legacy:
        legacy.execute(b'SELECT 1 AS "caf\xe9"')


async def test_text_in_another_encoding_stops_no_metric_and_says_what_to_do(
    counted: LoomDatabase,
) -> None:
    async with watching(counted.dsn(MONITOR)) as watch:
        _work(counted, 1)
        await watch.poll()
        _work(counted, 3)
        _call_in_another_encoding(counted)
        with counted.connect(OWNER) as owner:
            owner.execute("SELECT count(*) FROM public.user_mfa_methods")
        with capture_logs() as logs:
            for _ in range(3):
                await _texts_are_due(watch)
        samples = watch.board["pg_stat_statements"].samples
        assert samples[CALLS] == {PLACE: 3.0}, "no 0 of a class whose calls are not known"
        assert samples["loom_statements_unread"][()] > 0
        (told,) = [line for line in logs if "texts of statements" in line["event"]]
        assert "reset the entries of 'legacy' by SELECT" in told["detail"]
        with counted.connect() as superuser:
            superuser.execute(told["detail"].rpartition(" by ")[2].encode())
        watch.parts.poller._texts._not_before = float("-inf")
        await _texts_are_due(watch)
        samples = watch.board["pg_stat_statements"].samples
        assert samples[CALLS]["mfa_status", "other"] == 1.0
        assert samples[CALLS]["audit_log", "other"] == 0.0
        assert samples["loom_statements_unread"] == {(): 0.0}


async def test_long_texts_are_read_in_ever_smaller_batches(
    counted: LoomDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(counted.dsn(MONITOR)) as watch:
        await watch.poll()
        with counted.connect(OWNER) as owner:
            owner.execute("CREATE TABLE public.bulk (a int, b int)")
            for number in range(BULK):
                rows = ", ".join(["(1, 2)"] * (3_000 + number))
                owner.execute(f"INSERT INTO public.bulk VALUES {rows}".encode())
        monkeypatch.setattr("exporter.statements.text_reader._TIMEOUT_SECONDS", 1.0)
        await _texts_are_due(watch)
        assert watch.board["pg_stat_statements"].samples[CALLS] == {}, "no false zero"
        deadline = time.monotonic() + HANG_SECONDS
        while watch.parts.poller.is_behind:
            assert time.monotonic() < deadline, watch.board["pg_stat_statements"]
            await _texts_are_due(watch)
        assert watch.board["pg_stat_statements"].samples[CALLS]["other", "other"] >= BULK


@pytest.mark.parametrize(
    "setting", [("compute_query_id", "off"), ("pg_stat_statements.track", "none")]
)
async def test_setting_by_which_nothing_is_counted_is_told(
    counted: LoomDatabase, setting: tuple[str, str]
) -> None:
    name, value = setting
    with counted.connect() as superuser:
        superuser.execute(f"ALTER DATABASE loom SET {name} = '{value}'".encode())
    async with watching(counted.dsn(MONITOR)) as watch:
        seen = await watch.poll()
    assert (seen.state, dict(seen.samples)) == (State.ABSENT, {})
    assert f"{name} = {value}" in seen.detail


async def test_setting_of_our_own_role_leaves_the_others_counted(counted: LoomDatabase) -> None:
    with counted.connect() as superuser:
        superuser.execute(f"ALTER ROLE {MONITOR} SET pg_stat_statements.track = 'none'".encode())
    async with watching(counted.dsn(MONITOR)) as watch:
        assert (await watch.poll()).state is State.OK


async def test_first_call_that_takes_longer_than_a_poll_is_counted(counted: LoomDatabase) -> None:
    lock = "pg_advisory_lock(1)"
    slow = f"SELECT count(*) FROM public.resource_collections, {lock} WHERE 'a' <> 'b'"
    running = f"SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%{lock} W%'"
    async with watching(counted.dsn(MONITOR)) as watch:
        await watch.poll()
        with counted.connect(OWNER) as owner, counted.connect() as superuser:
            superuser.execute(f"SELECT {lock}".encode())
            call = asyncio.create_task(asyncio.to_thread(owner.execute, slow.encode()))
            own = " AND pid <> pg_backend_pid()"
            await until("it runs", lambda: superuser.execute((running + own).encode()).fetchall())
            await watch.poll()
            assert not call.done(), "the poll is within the call"
            superuser.execute("SELECT pg_advisory_unlock(1)")
            await call
        seen = await watch.poll()
    assert seen.samples[CALLS][PLACE] == 1
    assert not any(seen.samples["loom_statement_windows_dropped_total"].values())


async def test_statement_that_names_a_partition_is_of_the_class_of_its_table(
    counted: LoomDatabase,
) -> None:
    table = "public.resource_library_settings"
    with counted.connect(OWNER) as owner:
        owner.execute(
            f"DROP TABLE {table} CASCADE; CREATE SCHEMA archive;"
            f" CREATE TABLE {table} (id int, month int) PARTITION BY RANGE (month);"
            f" CREATE TABLE {table}_early PARTITION OF {table} FOR VALUES FROM (0) TO (5)"
            " PARTITION BY LIST (month);"
            f' CREATE TABLE archive."First Month" PARTITION OF {table}_early FOR VALUES IN (1);'
            ' CREATE TABLE public."First Month" (id int)'.encode()
        )
    async with watching(counted.dsn(MONITOR)) as watch:
        await watch.poll()
        with counted.connect(OWNER) as owner:
            for number, name in enumerate((table, f"{table}_early", 'archive."First Month"'), 1):
                for _ in range(number):
                    owner.execute(f"SELECT month FROM {name}".encode())
            owner.execute('SELECT id FROM public."First Month"')  # is none of its partitions
        assert (await watch.poll()).samples[CALLS][PLACE] == 6
        # One that is made later is known at once.
        with counted.connect(OWNER) as owner:
            owner.execute(
                f"CREATE TABLE archive.may PARTITION OF {table} FOR VALUES FROM (5) TO (6);"
                " SELECT month FROM archive.may".encode()
            )
        assert (await watch.poll()).samples[CALLS][PLACE] == 7

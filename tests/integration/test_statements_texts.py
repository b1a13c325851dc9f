"""Texts of statements that the server cannot give, or not all at once, and settings against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from structlog.testing import capture_logs

from exporter.database.outcome import State
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
        monkeypatch.setattr("exporter.statements.texts._TIMEOUT_SECONDS", 1.0)
        await _texts_are_due(watch)
        assert watch.board["pg_stat_statements"].samples[CALLS] == {}, "no false zero"
        for _ in range(40):
            if not watch.parts.poller.is_behind:
                break
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

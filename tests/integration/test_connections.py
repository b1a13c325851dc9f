"""Two connections serve all queries, and a run leaves nothing behind on them."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from typing import TYPE_CHECKING, Any

import pytest

from exporter.database.grants import CONNECTION_LIMIT
from exporter.run_state import State
from tests.support.marks import only_18
from tests.support.observers import HANG_SECONDS, eventually, follow, until
from tests.support.probes import USERS, slow_query
from tests.support.watching import (
    MONITOR,
    OWNER,
    deploy,
    install_grants,
    one_query,
    shipped,
    watching,
)

if TYPE_CHECKING:
    import psycopg

    from tests.support.loom_database import LoomDatabase

pytestmark = only_18


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (USERS, State.OK),
        ("SELECT 1 AS value WHERE false", State.EMPTY),
        ("SELECT count(*) AS value FROM public.nowhere", State.ERROR),
        ("SELECT 1 / (random() * 0)::int AS value", State.ERROR),
        ("SELECT length(pg_sleep(30)::text) AS value", State.TIMEOUT),
    ],
    ids=["ok", "empty", "mistake", "error", "timeout"],
)
async def test_run_leaves_its_connection_idle_and_usable_however_it_ends(
    loom: LoomDatabase, text: str, state: State
) -> None:
    query = one_query(text, "timeout: 10s", name="first")
    pid = one_query(
        "SELECT pg_backend_pid() AS value",
        "metrics: {pid: {type: gauge, help: A probe., value: value}}",
        name="pid",
    )
    async with watching(loom.dsn(OWNER), query, pid) as watch:
        await watch.look("pid")
        before = watch.board["pid"].samples
        assert (await watch.look("first")).state is state
        with loom.connect() as superuser:
            sessions = superuser.execute(
                "SELECT pid, state, xact_start FROM pg_stat_activity"
                " WHERE application_name = 'loom-exporter'"
            ).fetchall()
        assert sessions == [(before["pid"][()], "idle", None)]
        assert (await watch.look("pid")).samples == before


async def test_nothing_that_goes_well_counts_as_a_rollback_of_the_database(
    loom: LoomDatabase,
) -> None:
    install_grants(loom)
    with loom.connect() as superuser:
        before = _transactions(superuser)
        async with watching(loom.dsn(MONITOR)) as watch:
            await watch.look()  # before the deployment: some are absent, one is empty
            assert set(watch.states().values()) == {State.OK, State.EMPTY, State.ABSENT}
            deploy(loom, "healthy")
            await watch.look()
        # The counts of a session reach everybody when it ends.
        runs = 2 * len(shipped().queries)
        eventually("all count", lambda: _transactions(superuser)[0] >= before[0] + runs)
        assert _transactions(superuser)[1] == before[1]


def _transactions(superuser: psycopg.Connection[Any]) -> tuple[int, int]:
    (counts,) = superuser.execute(
        "SELECT xact_commit, xact_rollback FROM pg_stat_database WHERE datname = 'loom'"
    ).fetchall()
    return counts[0], counts[1]


async def test_no_more_than_two_connections_serve_all_queries(loom: LoomDatabase) -> None:
    queries = [slow_query(f"probe_{number}", 0.5) for number in range(8)]
    with loom.connect() as superuser:
        seen = set[int]()
        async with watching(loom.dsn(OWNER), *queries) as watch:
            for _ in range(3):
                await watch.look()
                assert set(watch.states().values()) == {State.OK}
                seen |= {
                    pid
                    for (pid,) in superuser.execute(
                        "SELECT pid FROM pg_stat_activity WHERE application_name = 'loom-exporter'"
                    ).fetchall()
                }
    assert len(seen) == 2


async def test_connection_that_is_refused_leaves_the_other_one_at_work(loom: LoomDatabase) -> None:
    install_grants(loom)
    slow, late, later = slow_query("slow", 1), slow_query("late", 0), slow_query("later", 0)
    log = follow(loom.server.log)
    with contextlib.ExitStack() as others:
        superuser = others.enter_context(loom.connect())
        superuser.execute(f"ALTER ROLE {MONITOR} CONNECTION LIMIT {CONNECTION_LIMIT}".encode())
        # Such as an exporter that is about to be replaced.
        for _ in range(CONNECTION_LIMIT - 1):
            others.enter_context(loom.connect(MONITOR))
        async with watching(loom.dsn(MONITOR), slow, late, later) as watch:
            await watch.look("late")
            runs = [asyncio.create_task(watch.look(name)) for name in ("slow", "late")]
            await until("the second one is refused", lambda: "too many connections" in log())
            await asyncio.sleep(0.1)  # for the word to reach us
            assert watch.database.is_up
            runs.append(asyncio.create_task(watch.look("later")))
            await asyncio.gather(*runs)
            assert set(watch.states().values()) == {State.OK}


async def test_query_whose_session_is_ended_is_not_sent_again(loom: LoomDatabase) -> None:
    slow = one_query(
        "SELECT length(pg_sleep(300)::text) AS value", "timeout: 50s\ninterval: 5m", name="slow"
    )
    running = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'loom-exporter'"
        " AND state = 'active' AND query LIKE '%pg_sleep(300)%'"
    )
    log = follow(loom.server.log)
    with loom.connect() as superuser:
        superuser.execute("ALTER DATABASE loom SET log_statement = 'all'")
        async with watching(loom.dsn(OWNER), slow) as watch, asyncio.timeout(HANG_SECONDS):
            run = asyncio.create_task(watch.look("slow"))
            pids = await until("it runs", lambda: superuser.execute(running).fetchall())
            superuser.execute("SELECT pg_terminate_backend(%s)", pids[0])
            assert (await run).state is State.UNREACHABLE
            assert watch.database.is_up, "one session was ended, not the server"
    assert log().count('LOG:  execute <unnamed>: SELECT r."value", count(*) OVER ()') == 1


async def test_session_that_was_ended_while_it_rested_costs_no_run(loom: LoomDatabase) -> None:
    users = one_query(USERS, name="users")
    async with watching(loom.dsn(OWNER), users) as watch:
        await watch.look()
        with loom.connect() as superuser:
            superuser.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'loom-exporter'"
            )
        assert (await watch.look()).state is State.OK


async def test_connection_is_told_alive_whatever_its_descriptor(loom: LoomDatabase) -> None:
    """As where many clients of the web server hold the low ones."""
    users = one_query(USERS, name="users")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        with contextlib.ExitStack() as held:
            while held.enter_context(socket.socket()).fileno() < 1100:
                pass
            async with watching(loom.dsn(OWNER), users) as watch:
                for _ in range(3):
                    assert (await watch.look()).state is State.OK
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_no_query_begins_once_the_end_has_come(loom: LoomDatabase) -> None:
    queries = [slow_query(f"probe_{number}", 50) for number in range(4)]
    async with watching(loom.dsn(OWNER), *queries) as watch:
        run = asyncio.create_task(watch.look())
        await until("two run", lambda: watch.database.status.busy == 2)
        await watch.runner.drain(5)
        await run
        assert set(watch.states().values()) == {None}, "we ended them; that is no news"

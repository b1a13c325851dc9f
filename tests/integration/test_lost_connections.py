"""Connections that vanish, hang or are refused: few are left behind, and what works is used."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psutil
import psycopg
import pytest

from exporter.database import database, pool
from exporter.database.connection import NEXT_ADDRESS_SECONDS, MonitorConnection, connect
from exporter.database.database import MAX_CONNECTIONS, Database
from exporter.run_state import RunError, State
from tests.support.loom_database import make_database, make_template
from tests.support.marks import only_18
from tests.support.network import Gateway, hanging_port, silent_port
from tests.support.observers import HANG_SECONDS, follow, until
from tests.support.probes import slow_query
from tests.support.watching import (
    MONITOR,
    OWNER,
    PATIENCE_SECONDS,
    install_grants,
    one_query,
    watching,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from exporter.catalog import Query
    from tests.conftest import NewServer
    from tests.support.loom_database import LoomDatabase
    from tests.support.watching import Watch

DROPS = 2
SHORTER_SECONDS = 35.0
"""What is saved of the minute that a server lets a log-in hang."""


def quick(timeout: str) -> list[Query]:
    """Return four queries that answer at once."""
    return [
        one_query(
            "SELECT 1 AS value",
            f"timeout: {timeout}\n"
            f"metrics: {{quick_{number}: {{type: gauge, help: A., value: value}}}}",
            name=f"quick_{number}",
        )
        for number in range(4)
    ]


QUICK = quick("5s")


@pytest.fixture(scope="module", autouse=True)
def _patience() -> None:
    """Leave the exporter its own limits: they are what these tests are about."""


def _sessions(superuser: psycopg.Connection[Any]) -> set[int]:
    """Return the process ids of the server's that serve our role."""
    ours = "SELECT pid FROM pg_stat_activity WHERE usename = %s"
    return {pid for (pid,) in superuser.execute(ours, [MONITOR])}


def _pids_of_exporter(superuser: psycopg.Connection[Any]) -> list[int]:
    ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'loom-exporter'"
    return [pid for (pid,) in superuser.execute(ours)]


def _clients(server: psutil.Process) -> int:
    """Return how many server processes serve a client, or hang before they do."""
    count = 0
    for process in server.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            count += "127.0.0.1(" in " ".join(process.cmdline())
    return count


async def _look_until_all_answer(watch: Watch) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while True:
        await watch.look()
        if set(watch.states().values()) == {State.OK}:
            return
        assert time.monotonic() < deadline, watch.states()
        await asyncio.sleep(0.2)


@only_18
async def test_connections_that_vanish_leave_no_sessions_behind(loom: LoomDatabase) -> None:
    install_grants(loom)
    with Gateway(loom.server.port) as gateway, loom.connect() as superuser:
        dsn = loom.dsn(MONITOR).replace(f":{loom.server.port}/", f":{gateway.port}/")
        async with watching(dsn, *QUICK) as watch:
            await watch.look()
            dropped = set[int]()
            for _ in range(DROPS):
                new = _sessions(superuser) - dropped
                gateway.drop()
                assert new, "a drop is of a session that there is"
                assert new <= _sessions(superuser), "the server knows of no drop yet"
                dropped |= new
                await _look_until_all_answer(watch)
            assert watch.database.is_up
            await until(
                "no session that was dropped is left",
                lambda: not dropped & _sessions(superuser),
            )
            assert len(_sessions(superuser)) <= MAX_CONNECTIONS


@only_18
async def test_exporter_that_was_held_up_does_not_take_the_server_for_dead(
    loom: LoomDatabase, skip_seconds: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server has answered meanwhile counts, late as it is read."""
    monkeypatch.setattr("exporter.database.database._GRACE_SECONDS", PATIENCE_SECONDS)

    async def ask_twice(connection: MonitorConnection) -> None:
        await connection.execute("SELECT pg_sleep(0.3)")
        await connection.execute("SELECT 1")

    async with Database("loom", lambda: loom.dsn(OWNER)) as database:
        asking = asyncio.create_task(database.run(ask_twice, HANG_SECONDS))
        await until("it asks", lambda: database.status.busy)
        skip_seconds(2 * HANG_SECONDS)
        await asking
        assert database.is_up


@only_18
async def test_exporter_that_is_always_late_gives_a_dead_server_up_all_the_same(
    loom: LoomDatabase, skip_seconds: Callable[[float], None]
) -> None:
    async def hang(connection: MonitorConnection) -> None:
        await connection.execute("SELECT pg_sleep(%s)", [HANG_SECONDS])

    async with Database("loom", lambda: loom.dsn(OWNER)) as database:
        asking = asyncio.create_task(database.run(hang, 1.0))
        await until("it asks", lambda: database.status.busy)

        def is_over() -> bool:
            skip_seconds(HANG_SECONDS)
            return asking.done()

        await until("it is given up", is_over)
        with pytest.raises(RunError) as raised:
            await asking
        assert raised.value.state is State.UNREACHABLE


@only_18
async def test_server_that_lets_one_session_in_serves_every_query(
    loom: LoomDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_grants(loom)
    monkeypatch.setattr(pool, "SECOND_TRY_SECONDS", 600.0)  # longer than all looks may take
    queries = [
        one_query(
            f"SELECT length(pg_sleep({0.01 * number})::text) AS value",
            f"timeout: 20s\nmetrics: {{turn_{number}: {{type: gauge, help: A., value: value}}}}",
            name=f"turn_{number}",
        )
        for number in range(7)
    ]
    log = follow(loom.server.log)
    with loom.connect() as superuser:
        superuser.execute(f"ALTER ROLE {MONITOR} CONNECTION LIMIT 1".encode())
        async with watching(loom.dsn(MONITOR), *queries) as watch:
            for _ in range(15):
                await watch.look()
                assert set(watch.states().values()) == {State.OK}
                assert watch.database.is_up
    refused = log().count("too many connections for role")
    assert refused == 1, "no second attempt for a while"


async def test_frozen_session_of_two_is_not_the_server(new_loom: LoomDatabase) -> None:
    queries = [slow_query(f"slow_{number}", 1.0) for number in range(2)]
    looked_at = quick("5s")
    pids: list[int] = []
    with new_loom.connect() as superuser:
        async with watching(new_loom.dsn(OWNER), *queries, *looked_at) as watch:
            async with asyncio.timeout(HANG_SECONDS):
                while len(pids) < MAX_CONNECTIONS:
                    await watch.look()
                    pids = _pids_of_exporter(superuser)
            assert len(pids) == MAX_CONNECTIONS
            frozen = pids[0]
            os.kill(frozen, signal.SIGSTOP)
            try:
                names = [query.name for query in looked_at]
                seen = []
                for _ in range(40):
                    await watch.look(*names)
                    seen.append([watch.board[name].state for name in names])
                    assert watch.database.is_up, seen
                    await asyncio.sleep(0.05)
                assert sum(states.count(State.UNREACHABLE) for states in seen) == 1, seen
            finally:
                os.kill(frozen, signal.SIGCONT)


async def test_log_ins_that_hang_do_not_pile_up(
    new_server: NewServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends a log-in earlier than by default, and the pause is as much shorter."""
    patience = 60.0 - SHORTER_SECONDS
    server = new_server(settings={"authentication_timeout": f"{patience:g}s"})
    monkeypatch.setattr(
        database, "_HANGING_PAUSE_SECONDS", database._HANGING_PAUSE_SECONDS - SHORTER_SECONDS
    )
    make_template(server)
    loom = make_database(server)
    process = psutil.Process(server.pid)
    with loom.connect() as superuser, superuser.transaction():
        async with watching(loom.dsn(OWNER), *QUICK) as watch:
            await watch.look()
            superuser.execute("LOCK TABLE pg_authid IN ACCESS EXCLUSIVE MODE")
            superuser.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'loom-exporter'"
            )
            most = 0
            deadline = time.monotonic() + patience - 2.0
            while time.monotonic() < deadline:
                await watch.look()
                most = max(most, _clients(process) - 1)  # without the one that locks
                await asyncio.sleep(0.2)
            assert watch.database.is_up is False
    assert 0 < most <= MAX_CONNECTIONS


def _hosts(loom: LoomDatabase, ports: list[int]) -> str:
    password = quote(loom.server.password, safe="")
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"postgresql://{OWNER}:{password}@{hosts}/loom"


@only_18
async def test_good_server_behind_three_silent_ones_is_reached_and_then_comes_first(
    loom: LoomDatabase,
) -> None:
    with silent_port() as one, hanging_port() as two, silent_port() as three:
        dsn = _hosts(loom, [one, two, three, loom.server.port])
        async with watching(dsn, *QUICK) as watch:
            await watch.look()
            assert set(watch.states().values()) == {State.OK}
        connection = await connect(dsn)
        good = connection.server
        await connection.close()
        took = []
        for _ in range(4):  # of which the machine holds one or the other up
            began = time.monotonic()
            await (await connect(dsn, good)).close()
            took.append(time.monotonic() - began)
        assert min(took) < NEXT_ADDRESS_SECONDS


@only_18
async def test_silent_server_of_a_service_file_is_passed_over(
    loom: LoomDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_port() as silent:
        services = tmp_path / "services"
        services.write_text(
            "# written by an administrator\n[other]\nhost=nowhere.invalid\n\n[loom]\n"
            f"host=127.0.0.1,127.0.0.1\nport={silent},{loom.server.port}\n"
            f"user={OWNER}\npassword={loom.server.password}\ndbname=loom\n"
        )
        monkeypatch.setenv("PGSERVICEFILE", str(services))
        for conninfo in ("service=loom", "postgresql://?service=loom"):
            connection = await connect(conninfo)
            assert connection.info.port == loom.server.port
            await connection.close()
        monkeypatch.setenv("PGSERVICE", "loom")
        await (await connect("")).close()


@only_18
async def test_server_that_refuses_is_told_with_every_reason(loom: LoomDatabase) -> None:
    with contextlib.closing(await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1")) as s:
        port = s.sockets[0].getsockname()[1]
        dsn = _hosts(loom, [port, loom.server.port]).replace("/loom", "/nowhere")
        async with watching(dsn, *QUICK[:1]) as watch:
            seen = await watch.look()
    assert seen.state is State.UNREACHABLE
    assert "server closed the connection" in seen.detail
    assert 'database "nowhere" does not exist' in seen.detail


@only_18
async def test_connections_that_rest_are_let_go_so_that_the_database_can_be_copied(
    loom: LoomDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "MAX_IDLE_SECONDS", 0.5)
    with loom.connect() as superuser:
        async with watching(loom.dsn(OWNER), *QUICK) as watch:
            await watch.look()
            ours = "SELECT FROM pg_stat_activity WHERE application_name = 'loom-exporter'"
            assert superuser.execute(ours).fetchall()
            await until("none is left", lambda: not superuser.execute(ours).fetchall())
            await watch.look()
            assert set(watch.states().values()) == {State.OK}


@only_18
async def test_database_can_be_copied_while_the_role_may_not_log_in(loom: LoomDatabase) -> None:
    install_grants(loom)
    admin_dsn = loom.server.dsn()
    async with watching(loom.dsn(MONITOR), *QUICK) as watch:
        await watch.look()
        with psycopg.connect(admin_dsn, autocommit=True) as superuser:
            with pytest.raises(psycopg.errors.ObjectInUse):
                superuser.execute("CREATE DATABASE copy TEMPLATE loom")
            superuser.execute(f"ALTER ROLE {MONITOR} NOLOGIN".encode())
            superuser.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s",
                [MONITOR],
            )
            await watch.look()
            assert watch.database.is_up is False
            superuser.execute("CREATE DATABASE copy TEMPLATE loom")
            superuser.execute("DROP DATABASE copy")
            superuser.execute(f"ALTER ROLE {MONITOR} LOGIN".encode())
        await _look_until_all_answer(watch)


async def test_fault_while_connecting_ends_the_wait_for_a_connection() -> None:
    def conninfo() -> str:
        raise LookupError("no such user")

    async with Database("loom", conninfo) as database, asyncio.timeout(HANG_SECONDS):
        with pytest.raises(RunError, match="LookupError: no such user") as raised:
            await database.run(MonitorConnection.check, 1.0)
        assert raised.value.state is State.UNREACHABLE
        assert database.is_up is False

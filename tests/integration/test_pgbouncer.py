"""Through PgBouncer in transaction mode, where no session is one's own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest

from exporter.database.facts import read_facts
from exporter.demo.processes import free_port
from exporter.demo.programs import Programs
from exporter.run_state import State
from tests.support.observers import HANG_SECONDS, until
from tests.support.tools import require_tool
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
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.loom_database import LoomDatabase

pytestmark = pytest.mark.parametrize("server", [15, 18], indirect=True)

_CONFIG = """\
[databases]
loom = host=127.0.0.1 port={server_port} dbname=loom

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 20
"""

GUARDS = {
    "statement_timeout": "21s",
    "lock_timeout": "250ms",
    "idle_in_transaction_session_timeout": "5s",
    "row_security": "off",
    "search_path": "pg_catalog, pg_temp",
    "transaction_read_only": "on",
    "jit": "off",
}


@dataclass(frozen=True)
class Pooler:
    """A PgBouncer in front of one database."""

    loom: LoomDatabase
    port: int

    def dsn(self, user: str) -> str:
        password = quote(self.loom.server.password, safe="")
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/loom"

    def connect(self, user: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self.dsn(user), autocommit=True, prepare_threshold=None)


@pytest.fixture
def pooler_of(loom: LoomDatabase, server_folder: Path) -> Iterator[Callable[[int], Pooler]]:
    """Return a function that starts PgBouncer with a pool of that many server connections."""
    # It refuses to run as root, as PostgreSQL does.
    programs = Programs.in_folder(require_tool("pgbouncer", "LOOM_TEST_PGBOUNCER").parent)
    install_grants(loom)
    deploy(loom, "healthy")

    def file(name: str, content: str) -> Path:
        path = server_folder / name
        path.touch(mode=0o600)
        path.write_text(content)
        programs.give(path)
        return path

    with contextlib.ExitStack() as stack:

        def start(pool_size: int) -> Pooler:
            pooler = Pooler(loom, free_port())
            programs.give(server_folder)
            password = loom.server.password
            file("users", f'"{MONITOR}" "{password}"\n"{OWNER}" "{password}"\n')
            config = file(
                "pgbouncer.ini",
                _CONFIG.format(
                    server_port=loom.server.port,
                    port=pooler.port,
                    folder=server_folder,
                    pool_size=pool_size,
                ),
            )
            log = server_folder / "pgbouncer.log"
            with log.open("wb") as output:
                process = programs.spawn(
                    "pgbouncer", str(config), folder=server_folder, output=output.fileno()
                )
            stack.callback(_stop, process)
            _wait_until_answering(pooler, process, log)
            return pooler

        yield start


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_answering(pooler: Pooler, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while True:
        try:
            with pooler.connect(OWNER) as connection:
                connection.execute("SELECT 1")
                return
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)


async def _answer(connection: psycopg.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    """Ask beside the exporter, which may have the only session and must go on to give it back."""
    return await asyncio.to_thread(lambda: connection.execute(query.encode()).fetchall())


@pytest.mark.parametrize("pool_size", [1, 2])
async def test_every_shipped_query_works_through_it_again_and_again_and_at_once(
    pooler_of: Callable[[int], Pooler], pool_size: int
) -> None:
    pooler = pooler_of(pool_size)
    expected = {query.name: State.OK for query in shipped().queries}
    expected["mfa_refresh_job"] = State.ABSENT
    async with watching(pooler.loom.dsn(MONITOR)) as direct:
        await direct.look()
        truth = direct.series()
    async with (
        watching(pooler.dsn(MONITOR)) as one,
        watching(pooler.dsn(MONITOR)) as another,
    ):
        for _ in range(3):
            await asyncio.gather(one.look(), another.look())
            assert one.states() == expected
            assert another.states() == expected
        for metric in ("loom_mfa_discrepancies", "loom_mfa_methods", "loom_resource_findings"):
            assert one.series()[metric] == truth[metric] != {}
        with pooler.loom.connect() as superuser:
            ((connections,),) = superuser.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = %s", [MONITOR]
            ).fetchall()
    assert connections == pool_size  # of four clients


async def test_guards_are_in_force_in_each_transaction_and_leak_to_nobody(
    pooler_of: Callable[[int], Pooler],
) -> None:
    pooler = pooler_of(1)
    settings = " UNION ALL ".join(
        f"SELECT '{name}' AS name, current_setting('{name}') AS setting" for name in GUARDS
    )
    inside = one_query(
        f"SELECT name, setting, pg_backend_pid() AS value FROM ({settings}) AS s",
        "timeout: 21s\n"
        "metrics: {probe: {type: gauge, help: A probe., labels: [name, setting], value: value}}",
    )
    with pooler.connect(MONITOR) as neighbour:

        async def seen_by_the_neighbour() -> tuple[int, dict[str, str]]:
            rows = await _answer(
                neighbour, f"SELECT name, setting, pg_backend_pid() FROM ({settings}) AS s"
            )
            return rows[0][2], {name: setting for name, setting, _ in rows}

        pid, before = await seen_by_the_neighbour()
        async with watching(pooler.dsn(MONITOR), inside) as watch:
            for _ in range(2):
                shown = (await watch.look()).samples["probe"]
                assert set(shown.values()) == {pid}  # it is the same session of the server
                assert {(name, setting) for name, setting in shown} == GUARDS.items()
                assert await seen_by_the_neighbour() == (pid, before)
    assert before["lock_timeout"] == "1s"
    assert before["row_security"] == "on"


async def test_facts_of_the_server_are_the_same_through_it(
    pooler_of: Callable[[int], Pooler],
) -> None:
    pooler = pooler_of(1)
    async with watching(pooler.loom.dsn(MONITOR)) as direct, watching(pooler.dsn(MONITOR)) as watch:
        assert await read_facts(watch.database) == await read_facts(direct.database)


async def test_no_prepared_statement_and_no_transaction_stay_in_the_session(
    pooler_of: Callable[[int], Pooler],
) -> None:
    pooler = pooler_of(1)
    async with watching(pooler.dsn(MONITOR)) as watch:
        for _ in range(6):  # psycopg would prepare at the fifth
            await watch.look("mfa_users", "tables")
        with await asyncio.to_thread(pooler.connect, MONITOR) as neighbour:
            prepared = "SELECT count(*) FROM pg_prepared_statements"
            assert await _answer(neighbour, prepared) == [(0,)]
        with pooler.loom.connect() as superuser:
            assert superuser.execute(
                "SELECT DISTINCT state, xact_start IS NULL FROM pg_stat_activity"
                " WHERE usename = %s",
                [MONITOR],
            ).fetchall() == [("idle", True)]


async def test_timeouts_and_locks_end_as_they_do_without_it(
    pooler_of: Callable[[int], Pooler],
) -> None:
    pooler = pooler_of(1)
    slow = one_query(
        "SELECT length(pg_sleep(30)::text) AS value",
        "timeout: 10s\nmetrics: {slow: {type: gauge, help: A probe., value: value}}",
        name="slow",
    )
    users = one_query("SELECT count(*) AS value FROM public.users", name="users")
    with pooler.loom.connect(OWNER) as migration:
        async with watching(pooler.dsn(OWNER), slow, users) as watch:
            assert (await watch.look("users")).state is State.OK
            assert (await watch.look("slow", "users")).state is State.OK
            assert watch.board["slow"].state is State.TIMEOUT
            with migration.transaction():
                migration.execute("LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE")
                locked = await watch.look("users")
            assert locked.state is State.LOCKED
            assert locked.samples == {"probe": {(): 200}}
            assert (await watch.look("users")).state is State.OK


async def test_query_that_runs_is_cancelled_through_it(
    pooler_of: Callable[[int], Pooler],
) -> None:
    pooler = pooler_of(1)
    slow = one_query("SELECT length(pg_sleep(30)::text) AS value", "timeout: 30s")
    running = "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(30)%'"
    with pooler.loom.connect(OWNER) as onlooker:

        def runs() -> bool:
            rows = onlooker.execute(f"{running} AND pid <> pg_backend_pid()".encode()).fetchall()
            return bool(rows)

        async with watching(pooler.dsn(OWNER), slow) as watch:
            run = asyncio.create_task(watch.look())
            await until("it runs", runs)
            await watch.runner.drain(5)
            assert (await run).state is None, "who ends it himself learns nothing from it"
            assert not runs()

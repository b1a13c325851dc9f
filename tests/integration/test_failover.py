"""A failover: what a standby has counted for itself is not taken for calls since the last poll."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import psycopg

from exporter.app.components import assemble
from exporter.collect.runner import Runner
from exporter.database.database import Database
from exporter.settings import load_settings
from exporter.state import StateStore
from exporter.statements.poller import POLL_NAME
from tests.support.loom_database import LoomDatabase
from tests.support.observers import HANG_SECONDS
from tests.support.standby import standby_of
from tests.support.watching import MONITOR, install_grants, shipped

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.collect.snapshot import Samples

CALLS_ON_STANDBY = 700
ASK = "SELECT count(*) FROM public.user_mfa_methods"
PLACE = ("mfa_status", "other")


def call(dsn: str, times: int) -> None:
    """Call a statement of a class so often."""
    with psycopg.connect(dsn, autocommit=True) as connection, connection.pipeline():
        for _ in range(times):
            connection.execute(ASK)


async def test_calls_that_a_standby_has_counted_before_add_none(
    new_loom: LoomDatabase, server_folder: Path, tmp_path: Path
) -> None:
    install_grants(new_loom)
    with standby_of(new_loom.server, server_folder) as standby:
        asked = [new_loom.dsn(MONITOR)]
        database = Database("loom", lambda: asked[-1])
        store = StateStore(tmp_path / "state.sqlite3")
        settings = load_settings(None, {"state_dir": tmp_path})
        parts = assemble(settings, shipped(), database, store)
        runner = Runner(database, parts.snapshots, store, parts.telemetry, {POLL_NAME: 0.0})

        async def poll() -> Samples:
            deadline = time.monotonic() + HANG_SECONDS
            while True:
                await runner.run_job(parts.poller.job(None))
                found = parts.snapshots[POLL_NAME]
                if found.state and found.state.is_success:
                    return found.samples
                assert time.monotonic() < deadline, found.detail
                await asyncio.sleep(0.5)  # a connection may be lost meanwhile

        async with database:
            await poll()
            call(new_loom.dsn(), 7)
            assert (await poll())["loom_statement_calls_total"][PLACE] == 7
            call(LoomDatabase(standby).dsn(), CALLS_ON_STANDBY)
            asked.append(LoomDatabase(standby).dsn(MONITOR))
            with new_loom.connect() as superuser:
                superuser.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s",
                    [MONITOR],
                )
            samples = await poll()
            assert samples["loom_statement_calls_total"][PLACE] == 7
            dropped = samples["loom_statement_windows_dropped_total"]
            assert dropped == {("other_server",): 1, ("clock_step",): 0}
            call(LoomDatabase(standby).dsn(), 5)
            samples = await poll()
            assert samples["loom_statement_calls_total"][PLACE] == 12
            assert sum(samples["loom_statement_windows_dropped_total"].values()) == 1
        store.close()

"""What watching costs the watched database, beside an application that makes 40 calls a second.

The demo's database, deployed, with the exporter at the shipped intervals. The processor time of
each server process is read from the operating system, so parsing and planning count as well. The
claim: one core is busy with us for less than 1 % of the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg

from exporter.catalog import load_catalog
from exporter.database.grants import grants_sql
from exporter.database.roles import ROLE
from exporter.demo.database import FILES, OWNER, DemoDatabase, migrations
from exporter.demo.postgres import PostgresServer
from exporter.demo.process import ExporterProcess
from exporter.demo.processes import free_port
from exporter.demo.programs import embedded_bin_dir
from exporter.demo.workload import Workload
from exporter.settings import packaged_queries

SECONDS = 60.0
LIMIT = 0.01


def cpu_seconds(database: DemoDatabase, superuser: str) -> dict[str, float]:
    """Return the processor seconds of the live sessions of each role."""
    with psycopg.connect(database.dsn(superuser)) as connection:
        sessions = connection.execute(
            "SELECT usename, pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    used: dict[str, float] = {}
    for role, pid in sessions:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            used[role] = used.get(role, 0.0) + times.user + times.system
    return used


async def main() -> int:
    """Run the benchmark; return 1 if the claim does not hold."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with tempfile.TemporaryDirectory(prefix="loom-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # noqa: ASYNC240
        settings = {"shared_preload_libraries": "pg_stat_statements"}
        with PostgresServer(embedded_bin_dir(), folder / "postgres", settings=settings) as server:
            database = DemoDatabase.create(server)
            database.install_grants(grants_sql(load_catalog(packaged_queries())))
            for path in migrations("healthy"):
                database.run_file(path)
            with psycopg.connect(database.dsn(OWNER)) as connection:
                users = [str(user) for (user,) in connection.execute("SELECT id FROM auth.users")]
            workload = Workload(database.dsn("authenticator"), FILES / "workload", users)
            application = asyncio.create_task(workload.run())
            with ExporterProcess(database.dsn(ROLE), folder, free_port()) as exporter:
                await asyncio.sleep(5.0)
                before = await asyncio.to_thread(cpu_seconds, database, server.superuser)
                started = time.monotonic()
                calls = workload.calls
                print(f"watching for {seconds:g} s", flush=True)
                await asyncio.sleep(seconds)
                after = await asyncio.to_thread(cpu_seconds, database, server.superuser)
                elapsed = time.monotonic() - started
                memory = psutil.Process(exporter.pid).memory_info().rss
            application.cancel()
    busy = {role: (after.get(role, 0.0) - before.get(role, 0.0)) / elapsed for role in after}
    ours, theirs = busy.get(ROLE, 0.0), busy.get("authenticator", 0.0)
    rate = (workload.calls - calls) / elapsed
    print(f"  the application   {theirs:8.3%} of a core, {rate:.0f} calls a second")
    print(f"  the exporter      {ours:8.3%} of a core   ratio {ours / theirs:.2f}")
    print(f"  the daemon itself has {memory / 2**20:.0f} MiB in memory")
    print(f"claim: less than {LIMIT:.0%} of a core: {'holds' if ours < LIMIT else 'DOES NOT HOLD'}")
    return 0 if ours < LIMIT else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

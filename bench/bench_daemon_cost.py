"""What the daemon itself costs, with 5,000 statements of 2 kB text, and how soon it shows them all.

A real daemon at the shipped intervals, scraped every 15 s. It starts without a state, and again
with the state that it left. Then a minute in which nothing is called, and one in which all
statements are called between two polls. The claims are of the daemon's own processor time: in such
a minute, and until the first scrape in which every query has been tried and every statement has
its class. The seconds are printed; they depend on what else the machine does.
`sys.argv[1]` may name the number of minutes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil
import psycopg

from bench.application import SUPERUSER, application, call, calling, connect, loom_database
from bench.exporting import shown, wait
from bench.telling import claim, progress
from exporter.catalog import load_catalog
from exporter.database.roles import ROLE
from exporter.demo.process import ExporterProcess
from exporter.demo.processes import free_port
from exporter.settings import packaged_queries

if TYPE_CHECKING:
    from exporter.demo.database import DemoDatabase

STATEMENTS = 5_000
SCRAPE_SECONDS = 15.0
REST_SECONDS = 25.0
LIMIT_CPU_SECONDS = 0.6
LIMIT_NEW_CPU_SECONDS = 3.0
LIMIT_RESTARTED_CPU_SECONDS = 1.5


class Cpu(NamedTuple):
    """Processor seconds of the daemon, and of its sessions on the server."""

    own: float
    server: float


def cpu_of(exporter: ExporterProcess, loom: DemoDatabase) -> Cpu:
    """Return the processor seconds used so far; those of a session that ended are not known."""
    with psycopg.connect(loom.dsn(SUPERUSER)) as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE usename = %s"
        sessions = [pid for (pid,) in connection.execute(query, (ROLE,))]
    own, *servers = (sum(psutil.Process(pid).cpu_times()[:2]) for pid in (exporter.pid, *sessions))
    return Cpu(own, sum(servers))


def until_all_is_shown(exporter: ExporterProcess) -> float:
    """Return the seconds from the start of a daemon until a scrape shows all statements."""
    wait(exporter, STATEMENTS, "loom_statements_classified", how="parsed")
    return time.time() - psutil.Process(exporter.pid).create_time()


def a_minute(exporter: ExporterProcess, loom: DemoDatabase, minutes: float, what: str) -> float:
    """Print the processor time of a minute, and return that of the daemon."""
    before = cpu_of(exporter, loom)
    end = time.monotonic() + 60 * minutes
    while (left := end - time.monotonic()) > 0:
        exporter.metrics()
        progress(f"{what}: {left:.0f} s to come")
        time.sleep(min(SCRAPE_SECONDS, left))
    progress("")
    own, server = (
        (late - early) / minutes for early, late in zip(before, cpu_of(exporter, loom), strict=True)
    )
    print(f"  {what:24} {own:6.2f} s of the daemon {server:6.2f} s of the server", flush=True)
    return own


def main() -> int:
    """Run the benchmark; return 1 if a claim does not hold."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    catalog = load_catalog(packaged_queries())
    statements = application(catalog, STATEMENTS)
    with tempfile.TemporaryDirectory(prefix="loom-bench-") as name:
        folder = Path(name)
        progress("starting PostgreSQL")
        with loom_database(folder, catalog) as loom:
            with connect(loom) as connection:
                call(connection, statements)
            starts = []
            for state in ("without a state", "with a state"):
                with ExporterProcess(loom.dsn(ROLE), folder, free_port()) as exporter:
                    seconds = until_all_is_shown(exporter)
                    own = cpu_of(exporter, loom).own
                    runs = shown(
                        exporter, "loom_exporter_query_runs_total", query="pg_stat_statements"
                    )
                    print(
                        f"  started {state:16} {own:6.2f} s of the daemon; all is shown after"
                        f" {seconds:.1f} s and {runs:g} polls",
                        flush=True,
                    )
                    starts.append(own)
                    if state == "with a state":
                        print(f"a minute, with {STATEMENTS} statements")
                        idle = a_minute(exporter, loom, minutes, "nothing is called")
                        with calling(loom, statements, REST_SECONDS):
                            busy = a_minute(exporter, loom, minutes, "everything is called")
    checks = [
        claim(
            f"at most {LIMIT_CPU_SECONDS:g} s of the daemon ({idle:.2f}, {busy:.2f})",
            holds=max(idle, busy) <= LIMIT_CPU_SECONDS,
        ),
        *(
            claim(
                f"a start takes at most {limit:g} s of the daemon ({own:.2f})", holds=own <= limit
            )
            for own, limit in zip(
                starts, (LIMIT_NEW_CPU_SECONDS, LIMIT_RESTARTED_CPU_SECONDS), strict=True
            )
        ),
    ]
    return 0 if all(checks) else 1


if __name__ == "__main__":
    sys.exit(main())

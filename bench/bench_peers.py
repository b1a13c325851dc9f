"""Beside the exporters that people would use instead: Debian's postgres_exporter and sql_exporter.

One database with 5,000 statements of 2 kB, deployed; the exporters watch it one after the other in
one run, each scraped every 15 s, ours as its role and the others as the superuser.
postgres_exporter shows what it shows by default; sql_exporter asks every 15 s what our queries ask,
tokens excepted, and the statements by role. The server's processor time is that of all its
processes, beside what it takes when nobody watches. For `locked` a migration holds tables of the
application; for `frozen` all processes of the server are stopped. A scrape that got no answer
within 10 s counts as 10 s. `sys.argv[1]` may name the seconds for which processor time is measured.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg

from bench.application import (
    SUPERUSER,
    application,
    call,
    connect,
    loom_database,
)
from bench.memory import resident_mib
from bench.peers import PROGRAMS, postgres_exporter, programs, sql_exporter, sql_exporter_config
from bench.telling import claim, progress
from exporter.catalog import load_catalog
from exporter.database.roles import ROLE
from exporter.demo.database import migrations
from exporter.demo.process import ExporterProcess
from exporter.demo.processes import free_port
from exporter.settings import packaged_queries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import PeerProcess
    from exporter.catalog import Catalog
    from exporter.demo.database import DemoDatabase

STATEMENTS = 5_000
SECONDS = 60.0
SCRAPE_SECONDS = 15.0
SCRAPES = 40
PAUSE_SECONDS = 0.5
TIMEOUT_SECONDS = 10.0
LONGEST_FROZEN_SECONDS = 40.0
LEAVING_SECONDS = 3.0
"""In which the session of the application ends, after which it counts."""

LEAST = 0.01
"""Seconds: the operating system counts processor time in hundredths."""

OURS, POSTGRES, SQL = ("loom-exporter", "postgres_exporter", "sql_exporter")


@dataclass
class Measured:
    """What was measured of an exporter; processor seconds are by minute, scrapes in seconds."""

    started: float = 0.0
    own: float = 0.0
    server: float = 0.0
    mib: float = 0.0
    scrapes: dict[str, list[float]] = field(default_factory=dict)

    def median(self, state: str) -> float:
        """Return the median of the seconds until an answer."""
        return statistics.median(self.scrapes[state])

    def slowest(self, state: str) -> float:
        """Return the seconds within which 99 of 100 scrapes were answered."""
        return statistics.quantiles(self.scrapes[state], n=100, method="inclusive")[98]


def server_cpu(pid: int) -> float:
    """Return the processor seconds of all processes of a server, those that have ended included."""
    main = psutil.Process(pid)
    total = sum(main.cpu_times()[:4])
    for child in main.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(child.cpu_times()[:2])
    return total


def since_start(pid: int) -> float:
    """Return the seconds since a process began."""
    return time.time() - psutil.Process(pid).create_time()


def scrape(url: str) -> float:
    """Ask for /metrics once; return the seconds until the whole answer, or the timeout."""
    started = time.perf_counter()
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=TIMEOUT_SECONDS) as answer:
            answer.read()
    except OSError:
        return TIMEOUT_SECONDS
    return min(time.perf_counter() - started, TIMEOUT_SECONDS)


def scrapes(url: str, longest_seconds: float = 600.0) -> list[float]:
    """Ask again and again; fewer times where answers take long."""
    end = time.monotonic() + longest_seconds
    seconds: list[float] = []
    while len(seconds) < SCRAPES and (time.monotonic() < end or len(seconds) < 2):
        seconds.append(scrape(url))
        time.sleep(PAUSE_SECONDS)
    return seconds


@contextlib.contextmanager
def locked(loom: DemoDatabase, catalog: Catalog) -> Iterator[None]:
    """Hold tables of the classes in ACCESS EXCLUSIVE mode meanwhile, as a migration does."""
    rules = catalog.deployment.classes.values()
    relations = sorted({rule for each in rules for rule in each.relations})
    with psycopg.connect(loom.dsn(SUPERUSER)) as connection:
        for relation in relations:
            name = relation if "." in relation else f"public.{relation}"
            row = connection.execute(
                "SELECT relkind = 'r' FROM pg_class WHERE oid = to_regclass(%s)", (name,)
            ).fetchone()
            if row and row[0]:
                connection.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE".encode())
        yield
        connection.rollback()


def measure(
    exporter: ExporterProcess | PeerProcess, loom: DemoDatabase, catalog: Catalog, seconds: float
) -> Measured:
    """Measure an exporter that shows its first full page."""
    process = psutil.Process(exporter.pid)
    found = Measured(since_start(exporter.pid))
    found.scrapes["healthy"] = scrapes(exporter.url)
    own, server = sum(process.cpu_times()[:2]), server_cpu(loom.server.pid)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        scrape(exporter.url)
        progress(f"{left:.0f} s to come")
        time.sleep(min(SCRAPE_SECONDS, left))
    found.own = (sum(process.cpu_times()[:2]) - own) * 60 / seconds
    found.server = (server_cpu(loom.server.pid) - server) * 60 / seconds
    found.mib = resident_mib(exporter.pid)
    with locked(loom, catalog):
        found.scrapes["locked"] = scrapes(exporter.url, LONGEST_FROZEN_SECONDS)
    loom.server.freeze()
    try:
        found.scrapes["frozen"] = scrapes(exporter.url, LONGEST_FROZEN_SECONDS)
    finally:
        loom.server.thaw()
    return found


def with_rows(loom: DemoDatabase, catalog: Catalog) -> list[str]:
    """Return the queries that have rows here, as the superuser sees them."""
    found = []
    with psycopg.connect(loom.dsn(SUPERUSER), autocommit=True) as connection:
        for query in catalog.queries:
            numbers = [each for each in query.metrics.values() if each.type != "change_timestamp"]
            with contextlib.suppress(psycopg.Error):
                if numbers and connection.execute(query.select.encode()).fetchone():
                    found.append(query.name)
    return found


def report(found: dict[str, Measured], restarted: float, idle: float) -> None:
    """Print what was measured, each beside what it is for us."""
    ours = found[OURS]
    print(f"{'':28}" + "".join(f"{name:>26}" for name in found))

    def line(what: str, unit: str, value: dict[str, float]) -> None:
        first = max(value[OURS], LEAST)
        cells = (f"{each:.4g} {unit} ({each / first:.2g} x)" for each in value.values())
        print(f"  {what:26}" + "".join(f"{cell:>26}" for cell in cells))

    line("first full scrape after", "s", {name: each.started for name, each in found.items()})
    line("its processor, a minute", "s", {name: each.own for name, each in found.items()})
    server = {name: max(each.server - idle, 0.0) for name, each in found.items()}
    line("server's, a minute", "s", server)
    line("resident", "MiB", {name: each.mib for name, each in found.items()})
    for state in ours.scrapes:
        medians = {name: each.median(state) * 1e3 for name, each in found.items()}
        line(f"scrape {state}, p50", "ms", medians)
        slowest = {name: each.slowest(state) * 1e3 for name, each in found.items()}
        line(f"scrape {state}, p99", "ms", slowest)
    print(f"  first full scrape of ours with the state of before: after {restarted:.1f} s")
    print(f"  nobody watches: {idle:.2f} s of the server a minute, which is taken off", flush=True)


def main() -> int:
    """Run the benchmark; return 1 if a claim does not hold."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    paths = programs()
    catalog = load_catalog(packaged_queries())
    found: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory(prefix="loom-bench-") as name:
        folder = Path(name)
        progress("starting PostgreSQL")
        with loom_database(folder, catalog) as loom:
            for path in migrations("healthy"):
                loom.run_file(path)
            with connect(loom) as connection:
                call(connection, application(catalog, STATEMENTS))
                connection.execute("CHECKPOINT")
            time.sleep(LEAVING_SECONDS)
            before = server_cpu(loom.server.pid)
            time.sleep(seconds)
            idle = (server_cpu(loom.server.pid) - before) * 60 / seconds
            with ExporterProcess(loom.dsn(ROLE), folder, free_port()) as ours:
                found[OURS] = measure(ours, loom, catalog, seconds)
            with ExporterProcess(loom.dsn(ROLE), folder, free_port()) as again:
                restarted = since_start(again.pid)
            dsn = f"{loom.dsn(SUPERUSER)}?sslmode=disable".replace("postgresql://", "postgres://")
            with postgres_exporter(paths[PROGRAMS[0]], dsn, folder) as peer:
                found[POSTGRES] = measure(peer, loom, catalog, seconds)
            config = sql_exporter_config(catalog.queries, dsn, "15s")
            expected = [*with_rows(loom, catalog), "statements"]
            with sql_exporter(paths[PROGRAMS[1]], config, folder, expected) as peer:
                found[SQL] = measure(peer, loom, catalog, seconds)
    report(found, restarted, idle)
    own, sql = found[OURS], found[SQL]
    frozen = own.slowest("frozen") / own.slowest("healthy")
    beside = own.slowest("healthy") / found[POSTGRES].slowest("healthy")
    server = max(own.server - idle, 0.0) / max(sql.server - idle, LEAST)
    checks = [
        claim(
            f"a scrape takes at most 1.5 times while the server is frozen ({frozen:.2f}, p99)",
            holds=frozen <= 1.5,
        ),
        claim(
            f"a scrape takes at most 0.1 of that of postgres_exporter ({beside:.2f}, p99)",
            holds=beside <= 0.1,
        ),
        claim(f"the server pays no more than for sql_exporter ({server:.2f})", holds=server <= 1.0),
    ]
    return 0 if all(checks) else 1


if __name__ == "__main__":
    sys.exit(main())

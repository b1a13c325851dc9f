"""What 1, 10, 50 and 200 databases cost one daemon, and what ten that hang cost the others.

Small databases on one server, each with the same pack of ten questions every 30 s. Of ten more,
each session hangs: they are on a server that is frozen, and then on the server of the others, where
a catalog that every session needs is locked. Own CPU, memory and the scrape are of the daemon's
process. The numbers are to be read as ratios between the rows, which come from one run.

    PYTHONPATH=. .venv/bin/python bench/bench_databases.py [SECONDS [COUNT ...]]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import yaml
from prometheus_client.parser import text_string_to_metric_families

from exporter.demo.postgres import PostgresServer
from tests.support.daemon import Daemon
from tests.support.queries import make_folder, query_text
from tests.support.tools import require_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNTS = (1, 10, 50, 200)
HUNG = 10
QUESTIONS = 10
SECONDS = 40.0
SCRAPES = 60
LATEST = "loom_exporter_query_last_success_timestamp_seconds"


@dataclass(frozen=True)
class Cost:
    """What was measured of one daemon."""

    name: str
    ready_seconds: float
    cpu_seconds_a_minute: float
    memory_mib: float
    page_bytes: int
    p99_seconds: float
    sessions: int
    oldest_seconds: float
    """Age of the oldest answer of the databases that do not hang."""


def main(seconds: float, counts: tuple[int, ...]) -> None:
    """Measure each number of databases, and the largest again beside ten that hang."""
    with tempfile.TemporaryDirectory(prefix="loom-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        settings = {"max_connections": "500", "shared_buffers": "64MB"}
        with (
            PostgresServer(require_postgres(18), folder / "server", settings=settings) as server,
            PostgresServer(require_postgres(18), folder / "hung") as hung,
        ):
            tenants = _make_databases(server, "tenant", max(counts))
            bench = Bench(server, _pack(folder / "pack"), seconds)
            costs = []
            for count in counts:
                costs.append(bench.measure(str(count), tenants[:count]))
                _print(costs[-1], costs[0])
            few = tenants[: counts[-1]]
            locked = _make_databases(server, "locked", HUNG)
            for name, dead, hang in (
                ("frozen", [hung.dsn()] * HUNG, _frozen(hung)),
                ("locked", locked, _locked(locked)),
            ):
                row = f"{counts[-1]} + {HUNG} {name}"
                costs.append(bench.measure(row, few, dead, hang))
                _print(costs[-1], costs[0])


@contextmanager
def _frozen(server: PostgresServer) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@contextmanager
def _locked(urls: list[str]) -> Iterator[None]:
    """Let all that is asked wait: no function can be looked up."""
    with ExitStack() as stack:
        for url in urls:
            connection = stack.enter_context(psycopg.connect(url))
            connection.execute("LOCK TABLE pg_catalog.pg_proc IN ACCESS EXCLUSIVE MODE")
        yield


def _make_databases(server: PostgresServer, name: str, count: int) -> list[str]:
    """Return their URLs."""
    names = [f"{name}_{number}" for number in range(count)]
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        for each in names:
            connection.execute(f"CREATE DATABASE {each} STRATEGY file_copy".encode())
    return [server.dsn(each) for each in names]


def _pack(folder: Path) -> Path:
    files = {
        f"question_{number}.sql": query_text(
            {f"loom_bench_{number}_rows": {"value": "n", "labels": ["relname"]}},
            sql="SELECT relname::text, reltuples AS n FROM pg_class ORDER BY oid LIMIT 10",
            interval="30s",
        )
        for number in range(QUESTIONS)
    }
    return make_folder(folder, files)


@dataclass(frozen=True)
class Bench:
    """What all rows have in common."""

    server: PostgresServer
    pack: Path
    seconds: float

    def measure(
        self,
        name: str,
        urls: list[str],
        dead: list[str] | None = None,
        hang: AbstractContextManager[None] | None = None,
    ) -> Cost:
        """Watch the databases with one daemon, and let the dead ones hang once it is ready."""
        entries = [{"url": url, "pack": str(self.pack)} for url in urls]
        entries += [
            {"url": url, "pack": str(self.pack), "name": f"hung_{number}"}
            for number, url in enumerate(dead or [])
        ]
        with tempfile.TemporaryDirectory(prefix="loom-bench-") as state:
            config = Path(state) / "config.yaml"
            config.write_text(yaml.safe_dump({"databases": entries}), encoding="utf-8")
            started = time.monotonic()
            with Daemon(None, "--config", str(config)) as daemon:
                daemon.wait_until_ready()
                ready = time.monotonic() - started
                process = psutil.Process(daemon.process.pid)
                with hang or nullcontext():
                    time.sleep(5)
                    before, began = process.cpu_times(), time.monotonic()
                    time.sleep(self.seconds)
                    after, passed = process.cpu_times(), time.monotonic() - began
                    times, size = _scrapes(daemon)
                    oldest = _oldest(daemon, len(urls) * QUESTIONS)
                    sessions = _sessions(self.server)
                cpu = (after.user + after.system - before.user - before.system) * 60 / passed
                memory = process.memory_info().rss / 2**20
        p99 = statistics.quantiles(times, n=100)[98]
        return Cost(name, ready, cpu, memory, size, p99, sessions, oldest)


def _scrapes(daemon: Daemon) -> tuple[list[float], int]:
    times, size = [], 0
    for _ in range(SCRAPES):
        began = time.perf_counter()
        size = len(daemon.get("/metrics").body)
        times.append(time.perf_counter() - began)
        time.sleep(0.1)
    return times, size


def _oldest(daemon: Daemon, expected: int) -> float:
    """Return the age of the oldest answer; each question must have one."""
    families = text_string_to_metric_families(daemon.page().text)
    answered = [
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == LATEST
        and sample.labels["query"].startswith("question_")
        and sample.labels["database"].startswith("tenant_")
    ]
    if len(answered) != expected:
        raise SystemExit(f"{expected - len(answered)} questions were never answered")
    return time.time() - min(answered)


def _sessions(server: PostgresServer) -> int:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        (row,) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname ~ '^(tenant|locked)' AND application_name = 'loom-exporter'"
        ).fetchall()
    return int(row[0])


def _print(cost: Cost, one: Cost) -> None:
    per_byte = cost.p99_seconds / cost.page_bytes / (one.p99_seconds / one.page_bytes)
    print(
        f"{cost.name:>15}: ready {cost.ready_seconds:5.1f} s, CPU "
        f"{cost.cpu_seconds_a_minute:5.1f} s/min ({cost.cpu_seconds_a_minute / 0.6:4.1f} % of a "
        f"core), {cost.memory_mib:4.0f} MiB, page {cost.page_bytes / 1000:6.0f} kB, p99 "
        f"{cost.p99_seconds * 1000:6.1f} ms ({per_byte:4.2f} of one per byte), "
        f"{cost.sessions} sessions, oldest answer {cost.oldest_seconds:4.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(
        float(arguments[0]) if arguments else SECONDS,
        tuple(map(int, arguments[1:])) or COUNTS,
    )

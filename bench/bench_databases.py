"""What 1, 10, 50 and 200 databases cost one daemon, and what ten that hang cost the others.

Small databases on one server, each with the same pack of ten questions every 30 s; ten more that
hang are on a server that is frozen. Own CPU, memory and the scrape are of the daemon's process. The
numbers are to be read as ratios between the rows, which come from one run.

    PYTHONPATH=. .venv/bin/python bench/bench_databases.py [SECONDS [COUNT ...]]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import yaml
from prometheus_client.parser import text_string_to_metric_families

from exporter.demo.postgres import PostgresServer
from tests.support.daemon import Daemon
from tests.support.queries import make_folder, query_text
from tests.support.tools import require_postgres

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
            _make_databases(server, max(counts))
            pack = _pack(folder / "pack")
            urls = [server.dsn(f"tenant_{number}") for number in range(max(counts))]
            costs = []
            for count in counts:
                costs.append(_measure(str(count), urls[:count], [], pack, server, None, seconds))
                _print(costs[-1], costs[0])
            dead = [hung.dsn() for _ in range(HUNG)]
            row = f"{counts[-1]} + {HUNG} hung"
            costs.append(_measure(row, urls[: counts[-1]], dead, pack, server, hung, seconds))
            _print(costs[-1], costs[0])


def _make_databases(server: PostgresServer, count: int) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        for number in range(count):
            connection.execute(f"CREATE DATABASE tenant_{number} STRATEGY file_copy".encode())


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


def _measure(
    name: str,
    urls: list[str],
    dead: list[str],
    pack: Path,
    server: PostgresServer,
    hung: PostgresServer | None,
    seconds: float,
) -> Cost:
    with tempfile.TemporaryDirectory(prefix="loom-bench-") as state:
        config = Path(state) / "config.yaml"
        entries = [{"url": url, "pack": str(pack)} for url in urls]
        entries += [
            {"url": url, "pack": str(pack), "name": f"hung_{number}"}
            for number, url in enumerate(dead)
        ]
        config.write_text(yaml.safe_dump({"databases": entries}), encoding="utf-8")
        started = time.monotonic()
        with Daemon(None, "--config", str(config)) as daemon:
            daemon.wait_until_ready()
            ready = time.monotonic() - started
            process = psutil.Process(daemon.process.pid)
            if hung:
                hung.freeze()
            try:
                time.sleep(5)
                before, began = process.cpu_times(), time.monotonic()
                time.sleep(seconds)
                after, passed = process.cpu_times(), time.monotonic() - began
                times, size = _scrapes(daemon)
                oldest = _oldest(daemon)
                sessions = _sessions(server)
            finally:
                if hung:
                    hung.thaw()
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


def _oldest(daemon: Daemon) -> float:
    families = text_string_to_metric_families(daemon.page().text)
    return time.time() - min(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == LATEST
        and sample.labels["query"].startswith("question_")
        and sample.labels["database"].startswith("tenant_")
    )


def _sessions(server: PostgresServer) -> int:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        (row,) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'tenant%'"
        ).fetchall()
    return int(row[0])


def _print(cost: Cost, one: Cost) -> None:
    per_byte = cost.p99_seconds / cost.page_bytes / (one.p99_seconds / one.page_bytes)
    print(
        f"{cost.name:>12}: ready {cost.ready_seconds:5.1f} s, CPU "
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

"""What it takes to freeze a baseline of four weeks, and whether /metrics answers meanwhile.

672 hours of 1,000 statements, called in each of them, lie in the state of a real daemon that polls
5,000 statements; then the deployment begins. After that the daemon is started anew, and reads what
was frozen. The claims: less than 120 MiB resident at any moment, and that /metrics takes at most
ten times as long to answer meanwhile; how long the freeze takes is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import statistics
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench.application import application, call, connect, learn, loom_database
from bench.exporting import memory, shown, wait, wait_for_polls
from bench.telling import claim, progress
from exporter.catalog import load_catalog
from exporter.catalog.deployment import OTHER
from exporter.clock import Clock
from exporter.database.database import Database
from exporter.database.facts import read_facts
from exporter.database.roles import ROLE
from exporter.demo.database import migrations
from exporter.demo.process import ExporterProcess
from exporter.demo.processes import free_port
from exporter.learning.hours import KEPT, LearnedHours
from exporter.settings import packaged_queries
from exporter.state import StateStore
from exporter.statements.counters import Delta
from exporter.statements.tally import Counted, Known, PollWindow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.catalog import Catalog
    from exporter.database.identity import DatabaseIdentity
    from exporter.demo.database import DemoDatabase

STATEMENTS = 5_000
REMEMBERED = 1_000
OF_CLASSES = 200
LIMIT_MIB = 120.0
LIMIT_RATIO = 10.0
INTERVAL_SECONDS = 2.0
IDLE_SECONDS = 5.0
HOUR = timedelta(hours=1)


def identity_of(loom: DemoDatabase) -> DatabaseIdentity:
    """Return what the daemon knows the database by."""

    async def look() -> DatabaseIdentity:
        async with Database("loom", lambda: loom.dsn(ROLE)) as watched:
            return (await read_facts(watched)).identity

    return asyncio.run(look())


def four_weeks(store: StateStore, of: DatabaseIdentity, catalog: Catalog) -> None:
    """Write the hours of four weeks into a store, as one poll each."""
    learned = LearnedHours(Clock())
    learned.begin(store.scope("loom", catalog.deployment.name).of(of))
    draw = random.Random(1)
    classes = [*catalog.deployment.classes]
    roles = [*catalog.deployment.statement_roles, OTHER]
    known = [
        Known(
            hashlib.sha256(str(number).encode()).hexdigest()[:16],
            classes[number % len(classes)] if number < OF_CLASSES else OTHER,
            roles[number % len(roles)],
        )
        for number in range(REMEMBERED)
    ]
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for back in range(KEPT, 0, -1):
        progress(f"{back} hours to come")
        counted = []
        for number, each in enumerate(known):
            calls, mean = draw.randint(30, 5_000), draw.lognormvariate(0, 0.1) / (number + 1)
            counted.append(Counted(each, Delta(calls, calls * mean, calls * mean**2, 0, 0, 0)))
        learned.add(PollWindow(now - back * HOUR, now - (back - 1) * HOUR, counted))
    progress("")


@contextlib.contextmanager
def asking(exporter: ExporterProcess) -> Iterator[list[float]]:
    """Ask for /metrics again and again meanwhile, and note the seconds until each answer."""
    done = threading.Event()
    seconds: list[float] = []

    def work() -> None:
        while not done.wait(0.05):
            started = time.perf_counter()
            exporter.metrics()
            seconds.append(time.perf_counter() - started)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield seconds
    finally:
        done.set()
        thread.join()


def time_spent(exporter: ExporterProcess) -> tuple[float, float]:
    """Return the seconds for which the deployment was judged, and those of a processor at all."""
    judged = shown(exporter, "loom_exporter_query_duration_seconds_sum", query="verdict")
    times = psutil.Process(exporter.pid).cpu_times()
    return judged, times.user + times.system


def main() -> int:
    """Run the benchmark; return 1 if a claim does not hold."""
    catalog = load_catalog(packaged_queries())
    with tempfile.TemporaryDirectory(prefix="loom-bench-") as name:
        folder = Path(name)
        state = folder / "state" / "state.sqlite3"
        progress("starting PostgreSQL")
        with loom_database(folder, catalog) as loom:
            with connect(loom) as connection:
                call(connection, application(catalog, STATEMENTS))
            learn(loom, state, catalog)
            store = StateStore(state)
            four_weeks(store, identity_of(loom), catalog)
            store.close()
            print(
                f"{KEPT} hours of {REMEMBERED} statements: {state.stat().st_size / 2**20:.0f} MiB"
            )
            exporter = ExporterProcess(
                loom.dsn(ROLE), folder, free_port(), max_interval_seconds=INTERVAL_SECONDS
            )
            print(f"MiB resident, with {STATEMENTS} statements", flush=True)
            peaks = []
            with exporter:
                wait_for_polls(exporter, 3)
                peaks.append(memory(exporter, "before"))
                with asking(exporter) as idle:
                    time.sleep(IDLE_SECONDS)
                before = time_spent(exporter)
                for path in migrations("healthy"):
                    loom.run_file(path)
                with asking(exporter) as busy:
                    wait(exporter, 1, "loom_baseline_state", state="frozen")
                after = time_spent(exporter)
                peaks.append(memory(exporter, "freezing it"))
                wait_for_polls(exporter, 3)
                peaks.append(memory(exporter, "comparing with it"))
            with exporter:
                wait(exporter, 1, "loom_baseline_state", state="frozen")
                wait_for_polls(exporter, 3)
                peaks.append(memory(exporter, "started anew"))
    seconds, of_cpu = (late - early for early, late in zip(before, after, strict=True))
    print(f"frozen in {seconds:.1f} s; the daemon used {of_cpu:.1f} s of a processor meanwhile")
    print("ms until /metrics answers")
    for moment, answers in (("when nothing happens", idle), ("meanwhile", busy)):
        print(
            f"  {moment:22} {statistics.median(answers) * 1e3:7.1f} in the median"
            f" {max(answers) * 1e3:7.1f} at most, of {len(answers)}"
        )
    ratio = statistics.median(busy) / statistics.median(idle)
    checks = [
        claim(
            f"less than {LIMIT_MIB:g} MiB (at most {max(peaks):.1f})", holds=max(peaks) < LIMIT_MIB
        ),
        claim(
            f"/metrics takes at most {LIMIT_RATIO:g} times as long ({ratio:.1f}, of the medians)",
            holds=ratio <= LIMIT_RATIO,
        ),
    ]
    return 0 if all(checks) else 1


if __name__ == "__main__":
    sys.exit(main())

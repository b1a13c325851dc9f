"""What 10,000 polls add to the memory of the exporter, before a deployment and after it.

The exporter's own parts, in one process, on a real database, as fast as they go: half of the polls
while a baseline is collected, half while they are compared with it. There are 200 statements, of
which a tenth is called between two polls; with each tenth poll the deployment is judged and
/metrics rendered. Memory is what is no page of a file, after a warm-up of 400 polls in either half:
the median of some looks at the end less that of as many at the beginning. The claim: less than
2 MiB more in all.
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import sys
import tempfile
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.application import application, call, connect, loom_database
from bench.memory import anonymous_mib
from bench.telling import claim, progress
from exporter.app.components import Components, assemble
from exporter.catalog import load_catalog
from exporter.catalog.history import APPLIED
from exporter.database.database import Database
from exporter.database.roles import ROLE
from exporter.demo.database import migrations
from exporter.logs import configure_logging
from exporter.settings import Settings, packaged_queries
from exporter.state import StateStore
from exporter.web.collectors import Process, Served, Sources
from exporter.web.exposition import Exposition

if TYPE_CHECKING:
    import psycopg

    from bench.application import Statements

POLLS = 10_000
WARM_UP = 400
STATEMENTS = 200
JUDGED_EACH = 10
LOOK_EACH = 250
LOOKS = 5
LIMIT_MIB = 2.0
HOUR_SECONDS = 5.0
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where the state is, if there is such a place: to wait for a disk would take most of the time."""


def tenths(statements: Statements) -> list[Statements]:
    """Return the statements in ten parts."""
    return [{role: texts[part::10] for role, texts in statements.items()} for part in range(10)]


async def polled(
    parts: Components,
    exposition: Exposition,
    connection: psycopg.Connection[Any],
    called: list[Statements],
    polls: int,
) -> list[float]:
    """Poll so many times; return the memory in MiB, as it was from time to time."""
    looks = []
    history = [query for query in parts.catalog.queries if APPLIED in query.metrics]
    for number, statements in zip(range(polls), cycle(called), strict=False):
        if number % LOOK_EACH == 0:
            progress(f"poll {number} of {polls}")
            for query in history:
                await parts.runner.run(query)
            gc.collect()
            looks.append(anonymous_mib(os.getpid()))
        call(connection, statements)
        await parts.runner.run_job(parts.poller.job(None))
        if number % JUDGED_EACH == 0:
            await parts.runner.run_job(parts.verdict.job(parts.snapshots, None))
            await exposition.page("", "")
    progress("")
    return looks


def growth(looks: list[float]) -> float:
    """Return how much more there is at the end than at the beginning."""
    return statistics.median(looks[-LOOKS:]) - statistics.median(looks[:LOOKS])


async def main() -> int:
    """Run the benchmark; return 1 if the claim does not hold."""
    catalog = load_catalog(packaged_queries())
    called = tenths(application(catalog, STATEMENTS))
    configure_logging("console", "error")
    with (
        tempfile.TemporaryDirectory(prefix="loom-bench-") as name,
        tempfile.TemporaryDirectory(prefix="loom-bench-", dir=IN_MEMORY) as state,
    ):
        folder = Path(name)
        with loom_database(folder, catalog) as loom, connect(loom) as connection:
            for statements in called:
                call(connection, statements)
            store = StateStore(Path(state) / "state.sqlite3")
            async with Database("loom", lambda: loom.dsn(ROLE)) as database:
                settings = Settings().model_copy(update={"hour": HOUR_SECONDS})
                parts = assemble(settings, catalog, database, store)
                sources = Sources(
                    parts.snapshots, parts.telemetry, database, parts.interval_seconds
                )
                served = Served(Process(store), [sources])
                drive = (parts, Exposition(served), connection, called)
                for query in catalog.queries:
                    await parts.runner.run(query)
                print(
                    f"{POLLS} polls of {STATEMENTS} statements; MiB of anonymous memory", flush=True
                )
                grown = 0.0
                for doing in ("collecting", "comparing"):
                    await polled(*drive, WARM_UP)
                    looks = await polled(*drive, POLLS // 2)
                    grown += max(growth(looks), 0.0)
                    known = "with" if parts.lifecycle.status.baseline else "without"
                    print(
                        f"  {doing:12} {looks[0]:6.1f} to {looks[-1]:6.1f}"
                        f" ({growth(looks):+.2f}), {known} a baseline",
                        flush=True,
                    )
                    if doing == "collecting":
                        for path in migrations("healthy"):
                            loom.run_file(path)
            store.close()
    holds = claim(f"less than {LIMIT_MIB:g} MiB more ({grown:+.2f})", holds=grown < LIMIT_MIB)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

"""What a baseline adds to a poll of 5,000 statements, in processor time of the exporter.

Three pollers ask one database in turn, each with a state of its own: one without a baseline, one
that collects it, one that compares with it. Between two rounds each statement is called, so that
each has changed at each poll. The claim: at most 1.5 times the time without.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.application import application, call, connect, loom_database
from bench.telling import claim, progress
from exporter.baseline.codec import dumps
from exporter.catalog import load_catalog
from exporter.clock import Clock
from exporter.collect.store import SnapshotStore
from exporter.database.database import Database
from exporter.database.facts import FactsReader, read_facts
from exporter.database.grants import ROLE
from exporter.deployment.progress import DeploymentProgress
from exporter.learning.capture import capture
from exporter.learning.document import KEY, TOPIC
from exporter.learning.lifecycle import BaselineLifecycle
from exporter.logs import configure_logging
from exporter.settings import Settings, packaged_queries
from exporter.state import StateStore
from exporter.statements.poller import Poller

if TYPE_CHECKING:
    from exporter.catalog import Catalog

STATEMENTS = 5_000
ROUNDS = 10
LIMIT = 1.5

ALONE, COLLECTING, COMPARING = WAYS = ("without a baseline", "collecting it", "comparing with it")


async def begin(folder: Path, database: Database, catalog: Catalog, way: str) -> Poller:
    """Return a poller that has read all texts, and goes on in one of the ways."""
    deployment = catalog.deployment
    store = StateStore(folder / f"{WAYS.index(way)}.sqlite3")
    people = store.scope(database.name, deployment.name)
    lifecycle = None if way == ALONE else BaselineLifecycle(people, catalog, Clock())
    poller = Poller(
        database,
        FactsReader(database),
        people,
        deployment,
        show_texts=True,
        follower=lifecycle,
        from_zero=True,
        pause_seconds=0.0,
    )
    await poller.ask()
    while poller.is_behind:
        await poller.ask()
    if way == COMPARING:
        baseline = await capture(Settings(), catalog, database, seconds=None, tell=progress)
        identity = (await read_facts(database)).identity
        store.save(people.of(identity), TOPIC, {KEY: dumps(baseline).encode()})
    if lifecycle:
        queries = catalog.all_queries
        snapshots = SnapshotStore(queries, {query.name: 60.0 for query in queries})
        settled_at = time.time() - 3600.0 if way == COMPARING else None
        seen = DeploymentProgress({}, has_begun=way == COMPARING, settled_at=settled_at)
        lifecycle.on_progress(await read_facts(database), seen, snapshots, time.time())
        if way == COMPARING and lifecycle.status.baseline is None:
            raise SystemExit(f"the baseline is refused: {lifecycle.status.refusal}")
    return poller


async def cpu_seconds(poller: Poller) -> float:
    """Return the processor time of one poll, in this process."""
    gc.collect()
    started = time.process_time()
    await poller.ask()
    return time.process_time() - started


async def main() -> int:
    """Run the benchmark; return 1 if the claim does not hold."""
    catalog = load_catalog(packaged_queries())
    statements = application(catalog, STATEMENTS)
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    configure_logging("console", "error")
    with tempfile.TemporaryDirectory(prefix="loom-bench-") as name:
        folder = Path(name)
        progress("starting PostgreSQL")
        with loom_database(folder, catalog) as loom, connect(loom) as connection:
            call(connection, statements)
            async with Database("loom", lambda: loom.dsn(ROLE)) as database:
                pollers = {way: await begin(folder, database, catalog, way) for way in WAYS}
                for number in range(ROUNDS):
                    progress(f"round {number + 1} of {ROUNDS}")
                    call(connection, statements)
                    for way, poller in pollers.items():
                        taken[way].append(await cpu_seconds(poller))
    progress("")
    medians = {way: statistics.median(seconds) for way, seconds in taken.items()}
    print(f"ms of processor time for a poll of {STATEMENTS} statements, median of {ROUNDS}")
    for way, seconds in medians.items():
        print(f"  {way:20} {seconds * 1e3:7.1f}   ratio {seconds / medians[ALONE]:.2f}")
    worst = max(medians.values()) / medians[ALONE]
    holds = claim(f"at most {LIMIT:g} times the time without a baseline", holds=worst <= LIMIT)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

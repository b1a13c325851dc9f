"""The exporter without its clock: its own parts, run when a test says so."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.app.components import Components, assemble
from exporter.catalog import Catalog, Query, load_catalog
from exporter.catalog.header import Header
from exporter.catalog.query import parse_query
from exporter.collect.runner import Runner
from exporter.database.database import Database
from exporter.database.grants import function_schema, grants_sql
from exporter.database.roles import ROLE
from exporter.demo.database import FILES, migrations
from exporter.durations import format_duration
from exporter.run_state import State
from exporter.settings import load_settings, packaged_queries
from exporter.state import StateStore
from exporter.statements.poller import POLL_NAME
from exporter.verdict.evidence import KeptTokens
from exporter.web.collectors import Process, Served, Sources
from exporter.web.exposition import Exposition
from tests.support.observers import HANG_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from exporter.collect.snapshot import Snapshot
    from exporter.collect.store import SnapshotStore
    from tests.support.loom_database import LoomDatabase

MONITOR = ROLE
OWNER = "postgres"

Series = dict[tuple[str, ...], float]
"""Label values → value, of one metric."""


@cache
def shipped() -> Catalog:
    """Return the queries that are shipped."""
    return load_catalog(packaged_queries())


FUNCTION_SCHEMA = function_schema(shipped().deployment.name)


def one_query(sql: str, header: str = "", *, name: str = "probe") -> Query:
    """Return a query whose column `value` is the gauge `probe`, unless `header` says otherwise."""
    given = {line.split(":")[0] for line in header.splitlines()}
    defaults = {
        "description": "A probe.",
        "phase": "all",
        "interval": "1m",
        "metrics": "\n  probe:\n    type: gauge\n    help: A probe.\n    value: value",
    }
    lines = [f"{key}: {value}" for key, value in defaults.items() if key not in given]
    query = parse_query(
        Path(f"{name}.sql"), "/*\n" + "\n".join([*lines, header]) + "\n*/\n" + sql + "\n"
    )
    return replace(query, pack=shipped().deployment.name)


def catalog_of(*queries: Query) -> Catalog:
    """Return a catalog of these queries, with the shipped deployment."""
    return replace(shipped(), queries=queries, http_queries=(), probes=())


def install_grants(loom: LoomDatabase, catalog: Catalog | None = None) -> None:
    """Install the monitoring role as its owner would, and give it a password."""
    loom.install_grants(grants_sql(catalog or shipped()))


def deploy(loom: LoomDatabase, edition: str) -> None:
    """Apply the three migrations of an edition, `healthy` or `published`."""
    for path in migrations(edition):
        loom.run_file(path)


def roll_back(loom: LoomDatabase) -> None:
    """Take the last migration back, as the checklist says."""
    loom.run_file(FILES / "rollback_mfa.sql")


PATIENCE_SECONDS = 20.0
"""For an answer that this machine may be too busy to wait for as long as users are told to."""

_KEPT_WAITING = {State.TIMEOUT, State.UNREACHABLE, State.LOCKED}


def patient(query: Query) -> Query:
    """Give a query more time, unless its test says how long it may take."""
    default = Header.model_fields["timeout"].default
    shipped_ones = {query.name for query in shipped().queries}
    if query.name in shipped_ones or query.header.timeout == default:
        header = query.header.model_copy(update={"timeout": PATIENCE_SECONDS})
        return replace(query, header=header)
    return query


@dataclass(frozen=True)
class Watch:
    """A catalog on a database, with what was seen of it so far."""

    parts: Components
    runner: Runner
    exposition: Exposition

    @property
    def catalog(self) -> Catalog:
        """What is watched."""
        return self.parts.catalog

    @property
    def database(self) -> Database:
        """The database that is watched."""
        return self.parts.database

    @property
    def board(self) -> SnapshotStore:
        """What is known of it."""
        return self.parts.snapshots

    async def look(self, *names: str) -> Snapshot:
        """Run all queries, or those that are named, and return the snapshot of the last one."""
        queries = [query for query in self.catalog.all_queries if not names or query.name in names]
        await asyncio.gather(*(self.runner.run(query) for query in queries))
        return self.board[queries[-1].name]

    async def look_in_peace(self) -> None:
        """Run all queries until none is kept from its answer."""
        deadline = time.monotonic() + HANG_SECONDS
        await self.look()
        while _KEPT_WAITING & set(self.states().values()) and time.monotonic() < deadline:
            await asyncio.sleep(1.0)
            await self.look()

    async def poll(self) -> Snapshot:
        """Poll pg_stat_statements once, and return the snapshot of that."""
        await self.runner.run_job(self.parts.poller.job(None))
        return self.board[POLL_NAME]

    async def poll_in_peace(self) -> Snapshot:
        """Poll until that works, and return the snapshot of it."""
        deadline = time.monotonic() + HANG_SECONDS
        while (seen := await self.poll()).state is not State.OK:
            assert time.monotonic() < deadline, seen
            await asyncio.sleep(0.1)  # while the server is down, a poll fails at once
        return seen

    async def judge(self) -> Snapshot:
        """Judge what was seen so far, and return the snapshot of that."""
        await self.runner.run_job(self.parts.verdict.job(self.board, None))
        return self.board[self.parts.verdict.name]

    def states(self) -> dict[str, State | None]:
        """Return the state of each query."""
        return {query.name: self.board[query.name].state for query in self.catalog.queries}

    def series(self) -> dict[str, Series]:
        """Return the samples of each metric that is shown, put together from all queries."""
        return {
            metric: {
                labels: value
                for snapshot in self.board.of_metric(metric)
                for labels, value in snapshot.samples.get(metric, {}).items()
            }
            for metric in self.catalog.metrics()
        }

    def kept(self) -> KeptTokens:
        """Return the tokens of all change timestamps as they are now."""
        tokens: dict[str, Mapping[tuple[str, ...], str]] = {}
        for snapshot in self.board.latest():
            tokens.update(snapshot.tokens)
        return KeptTokens(time.time(), tokens)

    async def page(self, accept: str = "") -> str:
        """Return /metrics as it is served."""
        return (await self.exposition.page(accept, "")).body.decode()


@contextlib.asynccontextmanager
async def watching(
    dsn: str,
    *queries: Query,
    catalog: Catalog | None = None,
    state: Path = Path("/nonexistent/state.sqlite3"),
    show_texts: bool = True,
    hour: float = 3600.0,
) -> AsyncIterator[Watch]:
    """Watch a database with these queries, with those of a catalog, or with the shipped ones.

    What must outlive a restart is kept in memory, unless `state` names a file; `hour` is how many
    seconds an hour has.
    """
    catalog = catalog or (catalog_of(*queries) if queries else shipped())
    catalog = replace(catalog, queries=tuple(map(patient, catalog.queries)))
    database = Database("loom", lambda: dsn)
    store = StateStore(state, read_only=not state.parent.exists())
    for name, metric in catalog.metrics().items():
        if metric.type == "change_timestamp":
            store.observe(database.name, name, [])  # as by a daemon that has run for a while
    settings = load_settings(None, {"statement_text": show_texts, "hour": format_duration(hour)})
    parts = assemble(settings, catalog, database, store)
    # Without an interval there is no back-off: a query that fails runs again when it is asked to.
    intervals = dict.fromkeys(parts.interval_seconds, 0.0)
    runner = Runner(database, parts.snapshots, store, parts.telemetry, intervals)
    sources = Sources(parts.snapshots, parts.telemetry, database, parts.interval_seconds)
    exposition = Exposition(Served(Process(store), [sources]))
    await database.open()
    try:
        yield Watch(parts, runner, exposition)
    finally:
        await database.close()
        store.close()


def look(loom: LoomDatabase, *queries: Query, user: str = MONITOR) -> Mapping[str, Snapshot]:
    """Run these queries once as a role, and return their snapshots by name."""

    async def run() -> Mapping[str, Snapshot]:
        async with watching(loom.dsn(user), *queries) as watch:
            await watch.look()
            return {query.name: watch.board[query.name] for query in watch.catalog.queries}

    return asyncio.run(run())

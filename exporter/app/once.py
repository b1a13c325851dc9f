"""Runs once what the daemon runs on a schedule: one query, or everything the verdict rests on."""

from dataclasses import dataclass
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from exporter.app.components import assemble
from exporter.baseline.codec import RefusedError
from exporter.catalog import Catalog, Query
from exporter.collect.runner import Runner
from exporter.collect.snapshot import Snapshot
from exporter.collect.store import SnapshotStore
from exporter.collect.telemetry import Telemetry
from exporter.database.conninfo import conninfo_reader
from exporter.database.database import Database
from exporter.database.facts import read_facts
from exporter.errors import UsageError
from exporter.settings import Settings
from exporter.state import StateStore
from exporter.verdict.assess import Assessment
from exporter.web.collectors import QueryCollector

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """How the run ended, and its samples in the text format of Prometheus."""

    snapshot: Snapshot
    text: str


async def run_once(settings: Settings, catalog: Catalog, query: Query) -> QueryAnswer:
    """Run `query` as the daemon would; nothing is written to the state.

    Raises:
        UsageError: the connection string is missing or malformed.
    """
    read_conninfo = conninfo_reader(settings)
    read_conninfo()
    database = Database(settings.database_name, read_conninfo, max_connections=1)
    only = Catalog(catalog.deployment, (query,))
    snapshots = SnapshotStore(only.queries, {query.name: 3600.0})
    store = StateStore(settings.state_dir / "state.sqlite3", read_only=True)
    if store.problem:
        _log.error("the times at which tokens changed are not known", reason=store.problem)
    runner = Runner(
        database, snapshots, store, Telemetry(database.name, only.queries), {query.name: 60.0}
    )
    async with database:
        await runner.run(query)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(QueryCollector(snapshots, database.name))
    return QueryAnswer(snapshots[query.name], generate_latest(registry).decode())


@dataclass(frozen=True, slots=True)
class Opinion:
    """The verdict, why the baseline is refused, if it is, and the state file if it is missing."""

    assessment: Assessment
    refusal: RefusedError | None
    missing_state: Path | None


async def judge_once(settings: Settings, catalog: Catalog) -> Opinion:
    """Judge the deployment by the state of the daemon and one run of each query.

    Nothing is written to the state.

    Raises:
        UsageError: the connection string is missing or malformed, or the state cannot be read.
        RunError: with the state in which the database was found.
    """
    read_conninfo = conninfo_reader(settings)
    read_conninfo()
    database = Database(settings.database_name, read_conninfo, max_connections=1)
    store = StateStore(settings.state_dir / "state.sqlite3", read_only=True)
    if store.problem:  # now, for later it says that the store is read-only
        raise UsageError(f"state: {store.problem}")
    components = assemble(settings, catalog, database, store)
    async with database:
        await read_facts(database)  # a database that is down is an error at once
        for query in catalog.queries:
            await components.runner.run(query)
        assessment = await components.verdict.assess(components.snapshots)
    missing_state = None if store.path.exists() else store.path
    return Opinion(assessment, components.lifecycle.status.refusal, missing_state)

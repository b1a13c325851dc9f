"""Runs once what the daemon runs on a schedule: one query, or everything the verdict rests on."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from exporter.app.components import assemble, probes_of
from exporter.baseline.codec import RefusedError
from exporter.catalog import AnyQuery, Catalog, HttpQuery, Probe
from exporter.collect.runner import Runner
from exporter.collect.snapshot import Snapshot
from exporter.collect.store import SnapshotStore
from exporter.collect.telemetry import Telemetry
from exporter.database.conninfo import conninfo_reader
from exporter.database.database import Database
from exporter.database.facts import read_facts
from exporter.errors import UsageError
from exporter.run_state import RunError, State
from exporter.settings import Settings
from exporter.sources import Rows
from exporter.sources.http import HttpSources
from exporter.sources.impersonation import Sighting
from exporter.state import StateStore
from exporter.verdict.assess import Assessment
from exporter.web.collectors import QueryCollector

TRIAL = "questions about the deployment assume here that it began a day ago"
"""What to know about the answers of `run_once` and `ask_sources`."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """How the run ended, and its samples in the text format of Prometheus."""

    snapshot: Snapshot
    text: str


async def run_once(settings: Settings, catalog: Catalog, query: AnyQuery) -> QueryAnswer:
    """Run a query of the catalog as the daemon would; nothing is written to the state.

    Raises:
        UsageError: the connection string is missing or malformed.
    """
    read_conninfo = conninfo_reader(settings)
    read_conninfo()
    database = Database(settings.database_name, read_conninfo, max_connections=1)
    snapshots = SnapshotStore([query], {query.name: 3600.0})
    store = StateStore(settings.state_dir / "state.sqlite3", read_only=True)
    if store.problem:
        _log.error("the times at which tokens changed are not known", reason=store.problem)
    runner = Runner(
        database,
        snapshots,
        store,
        Telemetry(database.name, [query]),
        {query.name: 60.0},
        HttpSources(settings.sources),
        trial_deployment_start,
        probes_of(settings, catalog, database),
    )
    async with database:
        await runner.run(query)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(QueryCollector(snapshots, database.name))
    return QueryAnswer(snapshots[query.name], generate_latest(registry).decode())


async def ask_sources(
    settings: Settings, catalog: Catalog
) -> AsyncIterator[tuple[HttpQuery, State, Rows | str]]:
    """Ask each question of an HTTP source once; yield its state, and its rows or why it has none.

    The database is not asked, so questions about a deployment assume that it began a day ago.
    """
    http = HttpSources(settings.sources)
    for query in catalog.http_queries:
        try:
            rows = await http.fetch(query, trial_deployment_start())
        except RunError as error:
            yield query, error.state, str(error)
        else:
            yield query, State.OK if rows.total else State.EMPTY, rows


async def ask_probes(
    settings: Settings, catalog: Catalog
) -> AsyncIterator[tuple[Probe, Sighting | RunError]]:
    """Ask each probe once; yield what it found, or why that is not known.

    Raises:
        UsageError: the connection string of the database is missing or malformed.
    """
    read_conninfo = conninfo_reader(settings)
    read_conninfo()
    async with Database(settings.database_name, read_conninfo, max_connections=1) as database:
        probes = probes_of(settings, catalog, database)
        for probe in catalog.probes:
            try:
                yield probe, await probes.ask(probe)
            except RunError as error:
                yield probe, error


def trial_deployment_start() -> float:
    """Return the Unix time at which the deployment began, where a question is only tried."""
    return time.time() - 86400.0


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
        for query in catalog.database_queries:
            await components.runner.run(query)
        assessment = await components.verdict.assess(components.snapshots)
        if catalog.http_queries:  # some are about the time since the deployment began
            runs = (components.runner.run(query) for query in catalog.http_queries)
            await asyncio.gather(*runs)
            assessment = await components.verdict.assess(components.snapshots)
    missing_state = None if store.path.exists() else store.path
    return Opinion(assessment, components.lifecycle.status.refusal, missing_state)

"""Asks once what the daemon asks again and again: one query, or all that the verdict rests on."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from exporter.app.components import assemble
from exporter.baseline.codec import RefusedError
from exporter.catalog import AnyQuery, Catalog, HttpQuery
from exporter.collect.runner import Runner
from exporter.collect.snapshot import Snapshot
from exporter.collect.store import SnapshotStore
from exporter.collect.telemetry import Telemetry
from exporter.database.conninfo import conninfo_reader
from exporter.database.database import Database
from exporter.errors import UsageError
from exporter.run_state import RunError, State
from exporter.settings import Settings
from exporter.sources import Rows
from exporter.sources.http import HttpSources
from exporter.state import StateStore
from exporter.verdict.assess import Assessment
from exporter.web.collectors import QueryCollector

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """How the run ended, and its samples in the text format of Prometheus."""

    snapshot: Snapshot
    text: str


async def run_once(settings: Settings, catalog: Catalog, query: AnyQuery) -> QueryAnswer:
    """Run `query` as the daemon would, and remember nothing.

    Raises:
        UsageError: the connection string is missing or malformed.
    """
    read_conninfo = conninfo_reader(settings)
    read_conninfo()
    database = Database(settings.database_name, read_conninfo, max_connections=1)
    board = SnapshotStore([query], {query.name: 3600.0})
    store = StateStore(settings.state_dir / "state.sqlite3", read_only=True)
    if store.problem:
        _log.error("it is not known when tokens last changed", reason=store.problem)
    telemetry = Telemetry(database.name, [query])
    http = HttpSources(settings.sources)
    runner = Runner(
        database, board, store, telemetry, {query.name: 60.0}, http, trial_deployment_start
    )
    async with database:
        await runner.run(query)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(QueryCollector(board, database.name))
    return QueryAnswer(board[query.name], generate_latest(registry).decode())


async def ask_sources(
    settings: Settings, catalog: Catalog
) -> AsyncIterator[tuple[HttpQuery, State, Rows | str]]:
    """Ask each question of an HTTP source once; yield its state, and its rows or why it has none.

    The database is not asked, so that questions about a deployment assume that it began a day ago.
    """
    http = HttpSources(settings.sources)
    for query in catalog.http_queries:
        try:
            rows = await http.fetch(query, trial_deployment_start())
        except RunError as error:
            yield query, error.state, str(error)
        else:
            yield query, State.OK if rows.total else State.EMPTY, rows


def trial_deployment_start() -> float:
    """Return the Unix time at which the deployment began, where only the question is tried."""
    return time.time() - 86400.0


@dataclass(frozen=True, slots=True)
class Opinion:
    """The verdict, why the baseline is refused, if it is, and where the daemon left nothing."""

    assessment: Assessment
    refusal: RefusedError | None
    missing_state: Path | None


async def judge_once(settings: Settings, catalog: Catalog) -> Opinion:
    """Judge the deployment by what the daemon remembers and the queries say now; remember nothing.

    Raises:
        UsageError: the connection string is missing or malformed, or what the daemon remembers
            cannot be read.
        RunError: with the state in which the database was found.
    """
    read_conninfo = conninfo_reader(settings)
    read_conninfo()
    database = Database(settings.database_name, read_conninfo, max_connections=1)
    store = StateStore(settings.state_dir / "state.sqlite3", read_only=True)
    if store.problem:  # later it would be that nothing may be written, which nobody asked for
        raise UsageError(f"state: {store.problem}")
    parts = assemble(settings, catalog, database, store)
    async with database:
        await parts.judge.read_facts()  # a database that is away is found out at once
        for query in catalog.queries:
            await parts.runner.run(query)
        assessment = await parts.judge.assess(parts.board)
        if catalog.http_queries:  # some are asked what happened since the deployment began
            await asyncio.gather(*(parts.runner.run(query) for query in catalog.http_queries))
            assessment = await parts.judge.assess(parts.board)
    missing_state = None if store.path.exists() else store.path
    return Opinion(assessment, parts.keeper.refusal, missing_state)

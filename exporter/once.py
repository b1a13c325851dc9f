"""Runs one query once, for a person who wants to see what it says."""

from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from exporter.catalog import Catalog, Query
from exporter.collect.board import Board, Snapshot
from exporter.collect.runner import Runner
from exporter.collect.telemetry import Telemetry
from exporter.database.conninfo import conninfo_reader
from exporter.database.database import Database
from exporter.settings import Settings
from exporter.state import StateStore
from exporter.web.collectors import QueryCollector

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """How the run ended, and its samples in the text format of Prometheus."""

    snapshot: Snapshot
    text: str


async def run_once(settings: Settings, catalog: Catalog, query: Query) -> Answer:
    """Run `query` as the daemon would, and remember nothing.

    Raises:
        SettingsError: the connection string is missing or malformed.
    """
    read_conninfo = conninfo_reader(settings)
    read_conninfo()
    database = Database(settings.database_name, read_conninfo, max_connections=1)
    only = Catalog(catalog.deployment, (query,))
    board = Board(only.queries, {query.name: 3600.0})
    store = StateStore(settings.state_dir / "state.sqlite3", read_only=True)
    if store.problem:
        _log.error("it is not known when tokens last changed", reason=store.problem)
    runner = Runner(
        database, board, store, Telemetry(database.name, only.queries), {query.name: 60.0}
    )
    await database.open()
    try:
        await runner.run(query)
    finally:
        await database.close()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(QueryCollector(board, database.name))
    return Answer(board[query.name], generate_latest(registry).decode())

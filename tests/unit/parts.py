"""The parts of a daemon, put together as it does, on a database that is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.collect.board import Board
from exporter.collect.runner import Runner
from exporter.collect.schedule import Schedule, interval_seconds, max_age_seconds
from exporter.collect.telemetry import Telemetry
from exporter.database.database import Database
from exporter.state import StateStore
from exporter.statements.poller import MAX_AGE_SECONDS, Poller
from exporter.web.collectors import Sources, build_registry
from exporter.web.exposition import Exposition
from tests.queries import make_catalog

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from exporter.catalog import Catalog, Query
    from exporter.collect.feed import Feed


@dataclass(frozen=True)
class Parts:
    catalog: Catalog
    database: Database
    board: Board
    store: StateStore
    telemetry: Telemetry
    runner: Runner
    schedule: Schedule
    registry: CollectorRegistry
    exposition: Exposition

    def count(self, name: str, **labels: str) -> float:
        """Return a sample of what the daemon counts itself."""
        value = self.telemetry.registry.get_sample_value(name, {"database": "loom", **labels})
        assert value is not None, f"no sample {name} {labels}"
        return value


def assemble(
    folder: Path,
    queries: Iterable[Query],
    *,
    catalog: Catalog | None = None,
    conninfo: str = "host=127.0.0.1 port=1",
    with_statements: bool = False,
) -> Parts:
    """Put the parts together; the database is not opened, so that every query is unreachable."""
    catalog = catalog or make_catalog(*queries)
    intervals = {query.name: interval_seconds(query, None) for query in catalog.queries}
    max_ages = {query.name: max_age_seconds(query) for query in catalog.queries}
    database = Database("loom", lambda: conninfo)
    database.is_up = False  # as after the first attempt
    store = StateStore(folder / "state" / "state.sqlite3", read_only=True)
    feeds: list[Feed] = [*catalog.queries]
    if with_statements:
        poll = Poller(database, store, catalog.deployment, show_texts=True).job(None)
        intervals[poll.name], max_ages[poll.name] = poll.interval_seconds, MAX_AGE_SECONDS
        feeds.append(poll)
    board = Board(feeds, max_ages)
    telemetry = Telemetry(database.name, feeds)
    runner = Runner(database, board, store, telemetry, intervals)
    registry = build_registry(
        Sources(catalog, board, database, store, intervals), telemetry.registry
    )
    return Parts(
        catalog,
        database,
        board,
        store,
        telemetry,
        runner,
        Schedule(catalog, runner, database, telemetry),
        registry,
        Exposition(registry, board),
    )

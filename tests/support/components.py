"""The parts of a daemon, put together as it does, on a database that is not there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from exporter.app.components import assemble as parts_of
from exporter.app.watch import overview_of
from exporter.collect.schedule import Schedule
from exporter.database.database import Database
from exporter.database.outcome import State
from exporter.deployment.progress import DeploymentProgress
from exporter.reload import Reloaded
from exporter.settings import Settings
from exporter.state import StateStore
from exporter.verdict.assess import assess
from exporter.verdict.evidence import Evidence
from exporter.web.collectors import Sources, build_registry
from exporter.web.exposition import Exposition
from exporter.web.pages import Pages
from tests.support.queries import make_catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from exporter.app.components import Components
    from exporter.catalog import Catalog, Query
    from exporter.collect.runner import Runner
    from exporter.collect.store import SnapshotStore
    from exporter.collect.telemetry import Telemetry
    from exporter.render.status_page import Overview
    from exporter.verdict.assess import Assessment


@dataclass(frozen=True)
class Parts:
    catalog: Catalog
    database: Database
    board: SnapshotStore
    store: StateStore
    telemetry: Telemetry
    runner: Runner
    schedule: Schedule
    registry: CollectorRegistry
    exposition: Exposition
    components: Components
    overview: Callable[[], Overview]
    pages: Pages

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
) -> Parts:
    """Put the parts together; the database is not opened, so that every query is unreachable."""
    catalog = catalog or make_catalog(*queries)
    database = Database("loom", lambda: conninfo)
    database.is_up = False  # as after the first attempt
    store = StateStore(folder / "state" / "state.sqlite3", read_only=True)
    settings = Settings()
    parts = parts_of(settings, catalog, database, store)
    reloaded = Reloaded("queries", lambda: None, lambda: catalog)
    registry = build_registry(
        Sources(parts.board, database, store, parts.interval_seconds, [reloaded]),
        parts.telemetry.registry,
    )
    overview = partial(overview_of, parts, settings.hour)
    return Parts(
        catalog,
        database,
        parts.board,
        store,
        parts.telemetry,
        parts.runner,
        Schedule(
            catalog,
            parts.runner,
            database,
            parts.telemetry,
            None,
            [parts.poll, parts.suites, parts.verdict],
        ),
        registry,
        Exposition(registry, parts.board),
        parts,
        overview,
        Pages(parts.board, overview),
    )


def judged(parts: Parts, assessment: Assessment | None = None) -> Assessment:
    """Let the judge have come to a verdict just now; by default one on nothing but the catalog."""
    if assessment is None:
        evidence = Evidence(time.time(), time.monotonic(), parts.board, DeploymentProgress({}))
        assessment = assess("loom", parts.catalog.deployment, {}, evidence)
    parts.components.judge.assessment = assessment
    parts.board.publish(parts.components.judge.name, State.OK, {})
    return assessment

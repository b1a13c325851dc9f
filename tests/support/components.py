"""The components of a daemon, put together as it does, on a database that is not there."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from exporter.app.components import Components
from exporter.app.components import assemble as assemble_components
from exporter.app.watch import overview_of
from exporter.catalog.pack_info import pack_info
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

    from exporter.catalog import AnyQuery, Catalog
    from exporter.render.status_page import Overview
    from exporter.verdict.assess import Assessment


@dataclass(frozen=True)
class Parts(Components):
    """The components, and what the web server shows of them."""

    exposition: Exposition
    registry: CollectorRegistry
    overview: Callable[[], Overview]
    pages: Pages

    def count(self, name: str, **labels: str) -> float:
        """Return a sample of what the daemon counts itself."""
        value = self.telemetry.registry.get_sample_value(name, {"database": "loom", **labels})
        assert value is not None, f"no sample {name} {labels}"
        return value


def assemble(
    folder: Path,
    queries: Iterable[AnyQuery],
    *,
    settings: Settings | None = None,
    catalog: Catalog | None = None,
    conninfo: str = "host=127.0.0.1 port=1",
) -> Parts:
    """Put the parts together; the database is not opened, so that every query is unreachable."""
    catalog = catalog or make_catalog(*queries)
    database = Database("loom", lambda: conninfo)
    database.is_up = False  # as after the first attempt
    store = StateStore(folder / "state" / "state.sqlite3", read_only=True)
    made = assemble_components(settings or Settings(), catalog, database, store)
    reloaded = Reloaded("queries", lambda: None, lambda: catalog)
    about = pack_info(catalog.deployment)
    intervals = made.interval_seconds
    sources = Sources(made.snapshots, database, store, intervals, [reloaded], about)
    registry = build_registry(sources, made.telemetry.registry)
    overview = partial(overview_of, made)
    shown: dict[str, Any] = {
        "exposition": Exposition(registry, made.snapshots),
        "registry": registry,
        "overview": overview,
        "pages": Pages(made.snapshots, overview),
    }
    return Parts(**{field.name: getattr(made, field.name) for field in fields(made)}, **shown)


def judged(parts: Parts, assessment: Assessment | None = None) -> Assessment:
    """Let there be a verdict of now; by default one on nothing but the catalog."""
    if assessment is None:
        evidence = Evidence(time.time(), time.monotonic(), parts.snapshots, DeploymentProgress({}))
        assessment = assess("loom", parts.catalog.deployment, {}, evidence)
    parts.verdict.assessment = assessment
    parts.snapshots.publish(parts.verdict.name, State.OK, {})
    return assessment

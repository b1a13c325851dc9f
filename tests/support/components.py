"""The components of a daemon, put together as it does, on a database that is not there."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from exporter.app.components import Components
from exporter.app.components import assemble as assemble_components
from exporter.app.monitored import overview_of
from exporter.database.database import Database
from exporter.deployment.progress import DeploymentProgress
from exporter.reload import Reloaded
from exporter.run_state import State
from exporter.settings import Settings
from exporter.state import StateStore
from exporter.verdict.assess import assess
from exporter.verdict.evidence import Evidence
from exporter.web.collectors import Process, Served, Sources
from exporter.web.database_pages import DatabasePages
from exporter.web.exposition import Exposition
from exporter.web.pages import Pages
from tests.support.queries import make_catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from exporter.catalog import AnyQuery, Catalog
    from exporter.render.status_page import Overview
    from exporter.verdict.assess import Assessment


@dataclass(frozen=True)
class Parts(Components):
    """The components, and what the web server shows of them."""

    exposition: Exposition
    served: Served
    overview: Callable[[], Overview]
    pages: Pages
    database_pages: DatabasePages

    def count(self, name: str, **labels: str) -> float:
        """Return a sample of what the daemon counts itself."""
        wanted = {"database": "loom", **labels}
        (value,) = (
            sample.value
            for family in self.served.collect()
            for sample in family.samples
            if sample.name == name and sample.labels == wanted
        )
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
    sources = Sources(made.snapshots, made.telemetry, database, made.interval_seconds)
    served = Served(Process(store, lambda: [reloaded]), [sources])
    overview = partial(overview_of, made)
    pages = Pages(made.snapshots, overview)
    shown: dict[str, Any] = {
        "exposition": Exposition(served),
        "served": served,
        "overview": overview,
        "pages": pages,
        "database_pages": DatabasePages({"loom": pages}),
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

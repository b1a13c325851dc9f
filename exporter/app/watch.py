"""Runs what a folder of queries says, and replaces it when the folder changes."""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog

from exporter.app.components import Components, assemble
from exporter.catalog import Catalog, load_catalog
from exporter.database.database import Database
from exporter.reload import Reloaded, stamp_of_folder
from exporter.render.status_page import Overview
from exporter.settings import Settings
from exporter.sources.http import HttpSources
from exporter.state import StateStore
from exporter.statements.poller import POLL_NAME
from exporter.web.collectors import Served, Sources
from exporter.web.exposition import Exposition
from exporter.web.pages import Pages

RELOAD_SECONDS = 5.0
"""Time between two looks at the folder."""

_log = structlog.get_logger(__name__)


class Watch:
    """Runs the components. Database, state and web server outlive a change of the queries."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        store: StateStore,
        reloads: Sequence[Reloaded[Any]],
    ) -> None:
        """Load the queries; nothing runs, and nothing connects.

        Args:
            settings: with the folder of the queries.
            database: the database that is watched.
            store: the state; what is made from new queries goes on with it.
            reloads: what else is read again while the exporter runs.

        Raises:
            CatalogError: the folder cannot be used.
        """
        self._settings = settings
        self._database = database
        self._store = store
        self._http = HttpSources(settings.sources)
        self._reloads = [*reloads]
        self._queries = Reloaded("queries", partial(stamp_of_folder, settings.queries), self._load)
        self._reloads.append(self._queries)
        self._running = self._shown = self._queries.latest
        self._following: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        self.exposition = Exposition(self._served(self._shown), self._shown.snapshots)
        self.pages = Pages(self._shown.snapshots, partial(overview_of, self._shown))

    @property
    def catalog(self) -> Catalog:
        """The catalog whose values are shown now."""
        return self._shown.catalog

    @property
    def is_alive(self) -> bool:
        """Whether the event loop and the scheduler still run."""
        return self._running.schedule.is_alive

    @property
    def is_complete(self) -> bool:
        """Whether every query has been tried."""
        return self._shown.snapshots.is_complete

    def start(self) -> None:
        """Start the schedule, and look at the folder from time to time."""
        self._running.schedule.start()
        self._following = asyncio.create_task(self._follow(), name="queries")

    async def stop(self, timeout_seconds: float) -> None:
        """Start no further run, and end those that are going within `timeout_seconds`."""
        if self._following:
            self._following.cancel()
            await asyncio.wait([self._following])
        await self._running.schedule.stop(timeout_seconds)

    def look_at_files(self) -> None:
        """Look now at all files that are read again when they change."""
        for each in self._reloads:
            if each is not self._queries:  # which another thread reads
                each.read()
        self._asked.set()

    def _load(self) -> Components:
        # All of it, so that any fault of new queries is found before they replace the others.
        catalog = load_catalog(self._settings.queries)
        for reason in catalog.unseen:
            _log.error(
                "a phase can never be seen", reason=reason, remedy="run `loom-exporter check`"
            )
        return assemble(self._settings, catalog, self._database, self._store, self._http)

    def _served(self, components: Components) -> Served:
        return Served(
            Sources(
                components.snapshots,
                components.telemetry,
                self._database,
                self._store,
                components.interval_seconds,
                self._reloads,
            )
        )

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), RELOAD_SECONDS)
            self._asked.clear()
            latest = await asyncio.to_thread(self._queries.read)
            if latest.catalog != self._running.catalog:
                await self._replace(latest)

    async def _replace(self, latest: Components) -> None:
        """Run `latest` instead once nothing runs, and show it once it has something to show.

        Two that run at once would count the same calls of statements twice, and overwrite each
        other's documents.
        """
        await self._running.schedule.finish()
        latest.verdict.go_on_from(self._running.verdict)
        self._running = latest
        latest.schedule.start()
        await latest.schedule.wait_for_first_cycle()
        self._shown = latest
        self.exposition.show(self._served(latest), latest.snapshots)
        self.pages.show(latest.snapshots, partial(overview_of, latest))
        _log.info("watching with new queries", queries=len(self.catalog.all_queries))


def overview_of(components: Components) -> Overview:
    """Return what the status page shows of the components now."""
    ticks = components.clock.monotonic()
    snapshots, verdict, status = (
        components.snapshots,
        components.verdict,
        components.lifecycle.status,
    )
    return Overview(
        at=components.clock.now(),
        ticks=ticks,
        database=components.database.name,
        deployment=components.catalog.deployment,
        clock=components.clock,
        interval_seconds=components.interval_seconds,
        snapshots=snapshots.latest(),
        evaluation=snapshots[verdict.name],
        assessment=verdict.assessment,
        points=verdict.trend.points,
        # A poll that failed, or was too long ago, says nothing about now.
        slowest=components.poller.slowest if snapshots[POLL_NAME].fresh_samples(ticks) else (),
        refusal=status.refusal,
        collected_seconds=status.collected_seconds,
    )

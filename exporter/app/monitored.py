"""One database that the daemon watches: its connections, and what its pack says to run.

Nothing in here is shared with other databases but the state file, so that one that is slow, hung or
away changes nothing for them.
"""

import asyncio
import contextlib
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any

import structlog

from exporter.app.components import Components, assemble
from exporter.app.packs import Packs
from exporter.catalog import Catalog
from exporter.database.conninfo import reloaded_conninfo
from exporter.database.database import Database
from exporter.database.server_places import ServerPlaces
from exporter.reload import Reloaded
from exporter.render.status_page import Overview
from exporter.settings import Settings
from exporter.sources.http import HttpSources
from exporter.state import StateStore
from exporter.statements.poller import POLL_NAME
from exporter.web.collectors import Sources
from exporter.web.pages import Pages

RELOAD_SECONDS = 5.0
"""Time between two looks at the folder of the queries."""

_log = structlog.get_logger(__name__)


class MonitoredDatabase:
    """Runs the components of one database; its connections outlive a change of the queries."""

    def __init__(
        self,
        settings: Settings,
        store: StateStore,
        packs: Packs,
        places: ServerPlaces,
    ) -> None:
        """Load the queries; nothing runs, and nothing connects.

        Args:
            settings: those of this database.
            store: the state; what is made from new queries goes on with it.
            packs: what folders of queries hold.
            places: the sessions on its server, which it shares with other databases.

        Raises:
            CatalogError: the folder of queries cannot be used.
            UsageError: the connection string cannot be used.
        """
        self.settings = settings
        self.places = places
        self._store = store
        self._packs = packs
        self._http = HttpSources(settings.sources)
        """It outlives a change of the queries, as it knows how long a source wants no request."""
        self._conninfo = reloaded_conninfo(settings)  # a malformed one is an error now
        self.database = Database(settings.database_name, self._conninfo.read, places=places)
        self._queries = Reloaded("queries", partial(packs.stamp, settings.queries), self._load)
        self._running = self._shown = self._queries.latest
        self._task: asyncio.Task[None] | None = None
        self._has_started = False
        self._asked = asyncio.Event()
        self.sources = self._sources()
        self.pages = Pages(self._shown.snapshots, self.overview)

    @property
    def name(self) -> str:
        """The value of the label `database`."""
        return self.database.name

    @property
    def catalog(self) -> Catalog:
        """The catalog whose values are shown now."""
        return self._shown.catalog

    @property
    def reloads(self) -> list[Reloaded[Any]]:
        """What is read again when its files change."""
        return [self._conninfo, self._queries]

    @property
    def is_alive(self) -> bool:
        """Whether the event loop and the scheduler still run."""
        return not self._has_started or self._running.schedule.is_alive

    @property
    def is_complete(self) -> bool:
        """Whether every query has been tried."""
        return self._shown.snapshots.is_complete

    def start(self, wait_seconds: float, on_change: Callable[[], None], context: Context) -> None:
        """Start the schedule after a wait, and look at the folder from time to time.

        Args:
            wait_seconds: how long the first runs wait, so that those of many databases are spread.
            on_change: is called when other components are shown than before.
            context: the context variables of all that runs.
        """
        self._task = asyncio.create_task(
            self._run(wait_seconds, on_change), name=f"queries of {self.name}", context=context
        )

    async def stop(self, timeout_seconds: float) -> None:
        """Start no further run, end those that are going within `timeout_seconds`, and close."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._has_started:
            await self._running.schedule.stop(timeout_seconds)
        await self.database.close()

    def look_at_files(self) -> None:
        """Look now at all files that are read again when they change."""
        self._conninfo.read()
        self._asked.set()  # the queries are read on another thread

    def overview(self) -> Overview:
        """Return what the status page shows now."""
        return overview_of(self._shown)

    def _load(self) -> Components:
        # All of it, so that any fault of new queries is found before they replace the others.
        catalog = self._packs.load(self.settings.queries)
        return assemble(self.settings, catalog, self.database, self._store, self._http)

    def _sources(self) -> Sources:
        shown = self._shown
        return Sources(shown.snapshots, shown.telemetry, self.database, shown.interval_seconds)

    async def _run(self, wait_seconds: float, on_change: Callable[[], None]) -> None:
        await self.database.open()
        await asyncio.sleep(wait_seconds)
        self._running.schedule.start()
        self._has_started = True
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), RELOAD_SECONDS)
            self._asked.clear()
            latest = await asyncio.to_thread(self._queries.read)
            if latest.catalog != self._running.catalog:
                await self._replace(latest)
                on_change()

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
        self.sources = self._sources()
        self.pages.show(latest.snapshots, self.overview)
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
        is_up=components.database.is_up,
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

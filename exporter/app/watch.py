"""Watches with the queries of a folder, and with those that it holds later."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from exporter import catalog
from exporter.app.components import Components, assemble
from exporter.catalog import Catalog
from exporter.collect.schedule import Schedule
from exporter.database.database import Database
from exporter.reload import Reloaded, stamp_of_folder
from exporter.render.status_page import Overview
from exporter.settings import Settings
from exporter.sources.http import HttpSources
from exporter.state import StateStore
from exporter.web.collectors import Sources, build_registry
from exporter.web.exposition import Exposition
from exporter.web.pages import Pages

RELOAD_SECONDS = 5.0
"""Time between two looks at the folder."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Whole:
    """All that is made of a catalog, and replaced together with it."""

    parts: Components
    schedule: Schedule
    registry: CollectorRegistry
    overview: Callable[[], Overview]


class Watch:
    """What runs. The database, the state and the web server outlive a change of the queries."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        store: StateStore,
        reloads: Sequence[Reloaded[Any]],
    ) -> None:
        """Prepare; nothing runs, and nothing connects.

        Args:
            settings: with the folder of the queries.
            database: what is watched.
            store: what outlives this, too: what is made of new queries goes on with it.
            reloads: what else is read anew while we run.

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
        self.exposition = Exposition(self._shown.registry, self._shown.parts.board)
        self.pages = Pages(self._shown.parts.board, self._shown.overview)

    @property
    def catalog(self) -> Catalog:
        """What is shown now."""
        return self._shown.parts.catalog

    @property
    def is_alive(self) -> bool:
        """Whether the loop and the scheduler still beat."""
        return self._running.schedule.is_alive

    @property
    def is_complete(self) -> bool:
        """Whether every query has been tried."""
        return self._shown.parts.board.is_complete

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

    def _load(self) -> _Whole:
        # All of it, so that whatever is wrong with new queries is found before they replace others.
        settings, database, store = self._settings, self._database, self._store
        known = catalog.load_catalog(settings.queries)
        parts = assemble(settings, known, database, store, self._http)
        jobs = [parts.poll, parts.suites, parts.verdict]
        schedule = Schedule(
            parts.catalog, parts.runner, database, parts.telemetry, settings.max_interval, jobs
        )
        sources = Sources(parts.board, database, store, parts.interval_seconds, self._reloads)
        registry = build_registry(sources, parts.telemetry.registry)
        return _Whole(parts, schedule, registry, partial(overview_of, parts, settings.hour))

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            latest = await asyncio.to_thread(self._queries.look)
            if latest.parts.catalog != self._running.parts.catalog:
                await self._replace(latest)

    async def _replace(self, latest: _Whole) -> None:
        """Let `latest` run instead, when nothing runs; and show it when it has something to show.

        Two that run at once would count the same calls of statements twice, and write over each
        other's memory.
        """
        await self._running.schedule.finish()
        latest.parts.judge.go_on_from(self._running.parts.judge)
        self._running = latest
        latest.schedule.start()
        await latest.schedule.wait_for_first_cycle()
        self._shown = latest
        self.exposition.show(latest.registry, latest.parts.board)
        self.pages.show(latest.parts.board, latest.overview)
        _log.info("watching with new queries", queries=len(self.catalog.all_queries))


def overview_of(parts: Components, hour_seconds: float) -> Overview:
    """Return what the status page shows of the components now."""
    ticks = time.monotonic()
    return Overview(
        at=time.time(),
        ticks=ticks,
        database=parts.database.name,
        deployment=parts.catalog.deployment,
        hour_seconds=hour_seconds,
        interval_seconds=parts.interval_seconds,
        snapshots=parts.board.snapshots(),
        evaluation=parts.board[parts.verdict.name],
        assessment=parts.judge.assessment,
        points=parts.judge.history.points,
        # A poll that failed, or was too long ago, says nothing about now.
        slowest=parts.poller.slowest if parts.board[parts.poll.name].fresh_samples(ticks) else (),
        refusal=parts.keeper.refusal,
        collected_seconds=parts.keeper.collected_seconds,
    )

"""All databases of one process: started together, shown on one page, stopped together."""

import asyncio
from collections.abc import Iterator, Sequence
from contextvars import copy_context
from typing import Any

import structlog

from exporter.app.monitored import MonitoredDatabase
from exporter.app.packs import Packs
from exporter.reload import Reloaded
from exporter.settings import Settings
from exporter.sources.http import HttpSources
from exporter.state import StateStore
from exporter.web.collectors import Process, Served
from exporter.web.database_pages import DatabasePages
from exporter.web.exposition import Exposition
from exporter.web.pages import Pages

_STEP_SECONDS = 0.25
_LONGEST_START_SECONDS = 20.0
"""The first runs of the databases begin a step apart, and the last ones after this time."""


class MonitoredDatabases:
    """Owns each database, and what the web server shows of them."""

    def __init__(
        self, databases: Sequence[Settings], store: StateStore, reloads: Sequence[Reloaded[Any]]
    ) -> None:
        """Load what each database needs; nothing runs, and nothing connects.

        Args:
            databases: the settings of each one.
            store: the state of all.
            reloads: what else is read again while the exporter runs.

        Raises:
            CatalogError: a folder of queries cannot be used.
            UsageError: a connection string cannot be used.
        """
        self._store = store
        self._other_reloads = [*reloads]
        self._packs = Packs()
        self._http = HttpSources(databases[0].sources)
        self._databases = {each.database_name: self._made(each) for each in databases}
        self.exposition = Exposition(self._served())
        self.pages = DatabasePages(self._pages())

    def __iter__(self) -> Iterator[MonitoredDatabase]:
        return iter(self._databases.values())

    @property
    def is_alive(self) -> bool:
        """Whether the event loop and all schedulers still run."""
        return all(each.is_alive for each in self)

    @property
    def is_complete(self) -> bool:
        """Whether every query of every database has been tried."""
        return all(each.is_complete for each in self)

    def start(self) -> None:
        """Start the schedule of each database, a little after that of the one before."""
        step = min(_STEP_SECONDS, _LONGEST_START_SECONDS / len(self._databases))
        for number, each in enumerate(self):
            self._start(each, number * step)

    async def stop(self, timeout_seconds: float) -> None:
        """Stop all at the same time; see `MonitoredDatabase.stop`."""
        await asyncio.gather(*(each.stop(timeout_seconds) for each in self))

    def look_at_files(self) -> None:
        """Look now at all files that are read again when they change."""
        for reload in self._other_reloads:
            reload.read()
        for each in self:
            each.look_at_files()

    def _made(self, settings: Settings) -> MonitoredDatabase:
        return MonitoredDatabase(settings, self._store, self._packs, self._http)

    def _start(self, database: MonitoredDatabase, wait_seconds: float) -> None:
        context = copy_context()
        if len(self._databases) > 1:  # then each line of the log says which one it is about
            context.run(structlog.contextvars.bind_contextvars, database=database.name)
        database.start(wait_seconds, self._show, context)

    def _show(self) -> None:
        self.exposition.show(self._served())
        self.pages.show(self._pages())

    def _served(self) -> Served:
        return Served(Process(self._store, self._reloads), [each.sources for each in self])

    def _pages(self) -> dict[str, Pages]:
        return {each.name: each.pages for each in self}

    def _reloads(self) -> list[Reloaded[Any]]:
        return [*self._other_reloads, *(reload for each in self for reload in each.reloads)]

"""All databases of one process: started together, shown on one page, stopped together."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from exporter.app.monitored import RELOAD_SECONDS, MonitoredDatabase
from exporter.app.packs import Packs
from exporter.app.tenants import TENANTS_SECONDS, Tenants
from exporter.database.conninfo import conninfo_reader
from exporter.database.database import MAX_CONNECTIONS
from exporter.database.hosts import servers_of
from exporter.database.server_places import ServerPlaces
from exporter.databases import each_database
from exporter.errors import UsageError
from exporter.reload import Reloaded, stamp_of
from exporter.settings import Settings
from exporter.state import StateStore
from exporter.web.collectors import Process, Reload, Served
from exporter.web.database_pages import DatabasePages
from exporter.web.exposition import Exposition
from exporter.web.pages import Pages

_DRAIN_SECONDS = 3.0
"""Time for running queries of a database to end that is not watched any more."""

_STEP_SECONDS = 0.25
_LONGEST_START_SECONDS = 20.0
"""The first runs of the databases begin a step apart, and the last ones after this time."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Config:
    """Where the settings of the process come from, to read the list of databases again."""

    settings: Settings
    """As they were at the start."""
    files: Sequence[Path]
    load: Callable[[], Settings]

    def read(self) -> Settings:
        """Return the settings of now; what else than the list has changed waits for a restart.

        Raises:
            UsageError: they cannot be used, or there is no list any more.
        """
        latest = self.load()
        if not latest.databases:
            raise UsageError("settings: databases: a list can be left out at a restart only")
        with_list = self.settings.model_copy(update={"databases": latest.databases})
        if latest != with_list:
            _log.warning("a change of other settings than databases waits for a restart")
        return with_list


class MonitoredDatabases:
    """Owns each database, and what the web server shows of them."""

    def __init__(self, config: Config, store: StateStore, reloads: Sequence[Reloaded[Any]]) -> None:
        """Load what each database needs; nothing runs, and nothing connects.

        Args:
            config: where the settings come from.
            store: the state of all.
            reloads: what else is read again while the exporter runs.

        Raises:
            CatalogError: a folder of queries cannot be used.
            UsageError: a connection string cannot be used.
        """
        self._store = store
        self._other_reloads = [*reloads]
        self._packs = Packs()
        self._config = config
        settings = config.settings
        self._tenants = Tenants(settings.databases_from.query) if settings.databases_from else None
        self._places: dict[str, ServerPlaces] = {}
        self._databases: dict[str, MonitoredDatabase] = {}
        self._listed = Reloaded("databases", self._stamp, self._read)
        self._databases = self._listed.latest
        self._tasks: list[asyncio.Task[None]] = []
        self._asked = asyncio.Event()
        self._was_complete = False
        self.exposition = Exposition(self._served())
        self.pages = DatabasePages(self._pages(), self._problem)

    def __iter__(self) -> Iterator[MonitoredDatabase]:
        return iter(self._databases.values())

    @property
    def is_alive(self) -> bool:
        """Whether the event loop and all schedulers still run."""
        return all(each.is_alive for each in self)

    @property
    def is_complete(self) -> bool:
        """Whether every query of every database has been tried; those added later do not count.

        Tenants have been asked for, too.
        """
        is_tried = self._tenants is None or self._tenants.is_tried
        self._was_complete |= is_tried and all(each.is_complete for each in self)
        return self._was_complete

    def start(self) -> None:
        """Start the schedule of each database, a little after that of the one before."""
        self._start(list(self))
        if self._config.settings.databases:
            self._tasks.append(asyncio.create_task(self._follow(), name="databases"))
        if self._tenants:
            self._tasks.append(asyncio.create_task(self._find(self._tenants), name="tenants"))

    async def stop(self, timeout_seconds: float) -> None:
        """Stop all at the same time; see `MonitoredDatabase.stop`."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.gather(*(each.stop(timeout_seconds) for each in self))

    def look_at_files(self) -> None:
        """Look now at all files that are read again when they change."""
        for reload in self._other_reloads:
            reload.read()
        for each in self:
            each.look_at_files()
        self._asked.set()

    def _stamp(self) -> object:
        return stamp_of(self._config.files), self._tenants and self._tenants.names

    def _read(self) -> dict[str, MonitoredDatabase]:
        """Return the databases as the settings are now; one that is the same goes on as it is.

        All that are new are made before any of them starts, so that one that cannot be used
        refuses the change.
        """
        settings = self._config.read() if self._databases else self._config.settings
        each = each_database(settings, self._tenants.names if self._tenants else ())
        with self._packs.used({one.queries for one in each}):
            return self._found(settings, each)

    def _found(self, settings: Settings, each: Sequence[Settings]) -> dict[str, MonitoredDatabase]:
        found: dict[str, MonitoredDatabase] = {}
        for one in each:
            known = self._databases.get(one.database_name)
            if known is None or known.settings != one:
                server = _server_of(one)
                places = self._places.setdefault(server, ServerPlaces(settings.server_connections))
                known = MonitoredDatabase(one, self._store, self._packs, places)
            found[one.database_name] = known
        counted = Counter(known.places for known in found.values())
        for places, count in counted.items():
            places.is_crowded = MAX_CONNECTIONS * count > settings.server_connections
        return found

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), RELOAD_SECONDS)
            self._asked.clear()
            latest = await asyncio.to_thread(self._listed.read)
            if latest is not self._databases:
                await self._replace(latest)

    async def _replace(self, latest: dict[str, MonitoredDatabase]) -> None:
        """Stop what is gone, and start what is new; the others are not touched."""
        before = set(self)
        self._databases, gone = latest, before - set(latest.values())
        await asyncio.gather(*(each.stop(_DRAIN_SECONDS) for each in gone))
        added = [each for each in self if each not in before]
        self._start(added)
        self._show()
        _log.info(
            "other databases are watched",
            added=[each.name for each in added],
            removed=[each.name for each in gone],
        )

    async def _find(self, tenants: Tenants) -> None:
        while True:
            first = next(iter(self))
            before = tenants.names
            await tenants.read(first.database)
            if tenants.names != before:
                self._asked.set()
            await asyncio.sleep(TENANTS_SECONDS)

    def _start(self, databases: Sequence[MonitoredDatabase]) -> None:
        step = min(_STEP_SECONDS, _LONGEST_START_SECONDS / max(1, len(databases)))
        for number, database in enumerate(databases):
            context = copy_context()
            if self._config.settings.databases:  # each line of the log says which one it is about
                context.run(structlog.contextvars.bind_contextvars, database=database.name)
            database.start(number * step, self._show, context)

    def _show(self) -> None:
        self.exposition.show(self._served())
        self.pages.show(self._pages())

    def _served(self) -> Served:
        return Served(Process(self._store, self._reloads), [each.sources for each in self])

    def _problem(self) -> str | None:
        """Return why other databases may be meant than those that are watched."""
        if self._listed.problem:
            return self._listed.problem
        if self._tenants and self._tenants.problem:
            return f"tenants cannot be found: {self._tenants.problem}"
        return None

    def _pages(self) -> dict[str, Pages]:
        return {each.name: each.pages for each in self}

    def _reloads(self) -> list[Reload]:
        own: list[Reload] = [self._listed] if self._config.settings.databases else []
        tenants = [self._tenants] if self._tenants else []
        of_each = (reload for each in self for reload in each.reloads)
        return [*self._other_reloads, *own, *tenants, *of_each]


def _server_of(settings: Settings) -> str:
    """Return the address of the server that a connection string names, the same for the same."""
    return repr(servers_of(conninfo_reader(settings)()))

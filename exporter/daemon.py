"""Puts the parts together, runs them until a signal comes, and takes them apart in order."""

import asyncio
import signal
import socket
import threading
import time

import structlog

from exporter.catalog import Catalog
from exporter.collect.schedule import Schedule
from exporter.database.conninfo import conninfo_reader
from exporter.database.database import Database
from exporter.parts import assemble
from exporter.settings import Settings
from exporter.state import StateStore
from exporter.web.app import Health, build_app
from exporter.web.collectors import Sources, build_registry
from exporter.web.exposition import Exposition
from exporter.web.pages import Pages
from exporter.web.server import bind, serving

DRAIN_SECONDS = 3.0
"""Time for running queries to end once they are cancelled."""

_STACK_BYTES = 8 * 2**20
"""Of each thread: one of them parses SQL, and some systems give it an eighth of a MiB."""

_log = structlog.get_logger(__name__)


def serve(settings: Settings, catalog: Catalog) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Raises:
        SettingsError: the connection string is malformed, the address cannot be listened on, or
            another daemon uses the state file.
    """
    threading.stack_size(_STACK_BYTES)
    listener = bind(settings.listen)
    with listener:
        asyncio.run(_serve(settings, catalog, listener))


async def _serve(settings: Settings, catalog: Catalog, listener: socket.socket) -> None:
    read_conninfo = conninfo_reader(settings)
    read_conninfo()  # report a malformed one now, not at the first query
    stop = _stop_signal()
    database = Database(settings.database_name, read_conninfo)
    store = StateStore(settings.state_dir / "state.sqlite3", owner=True)
    parts = assemble(settings, catalog, database, store)
    schedule = Schedule(
        catalog,
        parts.runner,
        database,
        parts.telemetry,
        settings.max_interval,
        [parts.poll, parts.verdict],
    )
    sources = Sources(parts.board, database, store, parts.interval_seconds)
    exposition = Exposition(build_registry(sources, parts.telemetry.registry), parts.board)
    pages = Pages(parts.subject)
    health = Health(
        is_alive=lambda: schedule.is_alive,
        is_ready=lambda: parts.board.is_complete and not stop.is_set(),
    )
    async with serving(build_app(exposition, health, pages), listener):
        await database.open()
        schedule.start()
        _log.info(
            "serving",
            address=_address(listener),
            database=database.name,
            queries=len(catalog.queries),
            deployment=catalog.deployment.name,
        )
        try:
            await stop.wait()
        finally:
            started = time.monotonic()
            await schedule.stop(DRAIN_SECONDS)
            await database.close()
            store.close()
        # The web server is last, so that a scrape during all this was still answered.
    _log.info("stopped", seconds=round(time.monotonic() - started, 1))


def _stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets; a second signal ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        _log.info("stopping", signal=number.name)
        stop.set()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
            # Not Python's own for SIGINT: a KeyboardInterrupt ends whatever code it hits upon.
            signal.signal(each, signal.SIG_DFL)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, on_signal, each)
    return stop


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"

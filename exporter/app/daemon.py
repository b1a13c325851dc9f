"""Runs the daemon: starts its components, and stops them in order when a signal comes."""

import asyncio
import gc
import resource
import signal
import socket
import threading
import time

import structlog

from exporter.app.databases import Config, MonitoredDatabases
from exporter.database.conninfo import conninfo_reader
from exporter.databases import each_database
from exporter.state import StateStore
from exporter.web.routes import Health, build_app
from exporter.web.server import bind, families, serving
from exporter.web.web_files import WebFiles, load_web_files

DRAIN_SECONDS = 3.0
"""Time for running queries to end once they are cancelled."""

_STACK_BYTES = 8 * 2**20
"""Stack of each thread: one of them parses SQL, and musl's default is an eighth of a MiB."""

_DESCRIPTORS = 4096
"""Enough for the web server, which takes a quarter of them, and for the database."""

_log = structlog.get_logger(__name__)


def serve(config: Config) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Raises:
        CatalogError: the folder of queries cannot be used.
        UsageError: the connection string or the web config file cannot be used, the address
            cannot be listened on, or another daemon uses the state file.
    """
    threading.stack_size(_STACK_BYTES)
    _raise_descriptor_limit()
    settings = config.settings
    web = load_web_files(settings.web_config_file) if settings.web_config_file else None
    listener = bind(settings.listen)
    with listener:
        asyncio.run(_serve(config, listener, web))


def _raise_descriptor_limit() -> None:
    """Raise the soft limit of descriptors to `_DESCRIPTORS`, or to the hard limit below that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _serve(config: Config, listener: socket.socket, web: WebFiles | None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there are files to look at
    settings = config.settings
    for one in each_database(settings):
        conninfo_reader(one)()  # a malformed one is an error before the state is opened
    stop = _stop_signal()
    store = StateStore(settings.state_dir / "state.sqlite3", owner=True)
    watched = MonitoredDatabases(config, store, web.reloads if web else [])
    gc.freeze()  # a full collection need not look at what lives as long as the process
    health = Health(
        is_alive=lambda: watched.is_alive,
        is_ready=lambda: watched.is_complete and not stop.is_set(),
    )
    app = build_app(watched.exposition, health, watched.pages, web.web_config if web else None)
    tls = web.tls if web else None
    async with serving(app, listener, tls.read if tls else None):
        watched.start()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _look_at_files, watched)
        for each in watched:
            _log.info(
                "serving",
                address=_address(listener, "https" if tls else "http"),
                families=families(listener),
                database=each.name,
                queries=len(each.catalog.all_queries),
                deployment=each.catalog.deployment.name,
            )
        try:
            await stop.wait()
        finally:
            started = time.monotonic()
            await watched.stop(DRAIN_SECONDS)
            store.close()
        # The web server stops last, so that scrapes are answered until then.
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
            # Not Python's own for SIGINT, whose KeyboardInterrupt could be raised in any code.
            signal.signal(each, signal.SIG_DFL)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, on_signal, each)
    return stop


def _look_at_files(watched: MonitoredDatabases) -> None:
    _log.info("looking at the files", signal="SIGHUP")
    watched.look_at_files()


def _address(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

"""The web server: uvicorn in our own event loop, on a socket that is bound before it starts."""

import asyncio
import contextlib
import resource
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from exporter.errors import UsageError
from exporter.web.connections import Connection, ConnectionLimits, Connections
from exporter.web.tls import ServerTls

_START_SECONDS = 10.0

_BACKLOG = 128
"""Connections that wait to be accepted; asyncio accepts as many at once."""


def bind(listen: str) -> socket.socket:
    """Return a socket that is bound to `host:port`; without a host, to every interface.

    `:port` and `[::]:port` are IPv6 and IPv4, where the machine has both, as with other exporters;
    a name is the first of its IPv4 addresses.

    Raises:
        UsageError: the address is taken, not ours, or not to be had without more rights.
    """
    host, _, port = listen.rpartition(":")
    address = (host.strip("[]"), int(port))
    try:
        if host in ("", "[::]") and socket.has_dualstack_ipv6():
            return socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True)
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        return socket.create_server(address, family=family)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"listen: {listen}: {reason}; choose another with LOOM_EXPORTER_LISTEN"
        ) from None


def families(listener: socket.socket) -> str:
    """Return the families of addresses that a bound socket serves, for the log."""
    if listener.family == socket.AF_INET:
        return "IPv4"
    only = listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return "IPv6" if only or listener.getsockname()[0] != "::" else "IPv4, IPv6"


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp,
    listener: socket.socket,
    tls: Callable[[], ServerTls] | None = None,
    limits: ConnectionLimits | None = None,
) -> AsyncIterator[None]:
    """Serve `app` on `listener` until the block ends; the last requests are answered then.

    Args:
        app: answers the requests.
        listener: the socket.
        tls: returns the TLS of each new connection; None for plain HTTP.
        limits: limits of the connections; by default as many as the descriptors allow.
    """
    connections = Connections(app, tls, limits or ConnectionLimits(most=_most_connections()))
    # `Config.http` takes a class of protocols. Ours wraps uvicorn's, which a loaded Config names.
    parser = uvicorn.Config(connections, http="h11", ws="none", log_config=None)
    parser.load()

    class Protocol(Connection):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(connections, parser.http_protocol_class(**arguments))

    config = uvicorn.Config(
        connections,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        backlog=_BACKLOG,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="web server")
    try:
        with _keeping_signal_handlers():
            await asyncio.sleep(0)  # uvicorn sets its handlers in the first step of the task
        async with asyncio.timeout(_START_SECONDS):
            while not (server.started or task.done()):  # noqa: ASYNC110 - uvicorn has no event
                await asyncio.sleep(0.01)
        if task.done():
            raise UsageError("the web server did not start")
        yield
    finally:
        server.should_exit = True
        connections.abort(only_unready=True)
        with _keeping_signal_handlers():
            await task
        connections.abort()


@contextlib.contextmanager
def _keeping_signal_handlers() -> Iterator[None]:
    """Undo what uvicorn does to the handlers of signals: the daemon stops its parts in order."""
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():  # uvicorn sets none in another
            for each, handler in handlers.items():
                signal.signal(each, handler)


def _most_connections() -> int:
    """Return the limit of connections; most descriptors stay free for the database and files."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    default = ConnectionLimits().most
    return default if descriptors == resource.RLIM_INFINITY else min(default, descriptors // 4)

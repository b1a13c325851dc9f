"""uvicorn inside our own event loop, with the signals left to us."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.applications import Starlette

from exporter.settings import SettingsError

_START_SECONDS = 10.0


def bind(listen: str) -> socket.socket:
    """Return a socket that is bound to `host:port`; without a host, to every interface.

    Raises:
        SettingsError: the address is taken, not ours, or not to be had without more rights.
    """
    host, _, port = listen.rpartition(":")
    address = (host.strip("[]"), int(port))
    try:
        if not host and socket.has_dualstack_ipv6():
            return socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True)
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        return socket.create_server(address, family=family)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(
            f"listen: {listen}: {reason}; choose another with LOOM_EXPORTER_LISTEN"
        ) from None


@contextlib.asynccontextmanager
async def serving(app: Starlette, listener: socket.socket) -> AsyncIterator[None]:
    """Serve `app` on `listener` until the block ends; the last requests are answered then."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        limit_concurrency=100,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="web server")
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not (server.started or task.done()):  # noqa: ASYNC110 - uvicorn has no event
                await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: the daemon stops its parts in an order of its own."""
        yield

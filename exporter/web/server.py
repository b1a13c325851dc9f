"""uvicorn inside our own event loop, with the signals left to us."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from exporter.errors import UsageError
from exporter.web.tls import latest_context, lets_in

_START_SECONDS = 10.0

_SILENCE_SECONDS = 10.0
"""How long a client may be connected until it has asked for something, and then for the next thing.

Over TLS it has as long for the handshake, as long after that, and as long to say goodbye.
"""


def bind(listen: str) -> socket.socket:
    """Return a socket that is bound to `host:port`; without a host, to every interface.

    Raises:
        UsageError: the address is taken, not ours, or not to be had without more rights.
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
        raise UsageError(
            f"listen: {listen}: {reason}; choose another with LOOM_EXPORTER_LISTEN"
        ) from None


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp, listener: socket.socket, tls: Callable[[], ssl.SSLContext] | None = None
) -> AsyncIterator[None]:
    """Serve `app` on `listener` until the block ends; the last requests are answered then.

    Args:
        app: what answers.
        listener: where it is asked.
        tls: returns the context of each new connection; None for plain HTTP.
    """
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        http=_Protocol,
    )
    server = _Server(config, tls)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="web server")
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not (server.started or task.done()):  # noqa: ASYNC110 - uvicorn has no event
                await asyncio.sleep(0.01)
        if task.done():
            raise UsageError("the web server did not start")
        yield
    finally:
        server.should_exit = True
        await task


class _Protocol(H11Protocol):
    """Hangs up on clients that only keep a connection busy: there is one for each descriptor.

    And on those whose certificate has none of the names that are let in.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()
        secured: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if secured and not lets_in(secured):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._silence.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # uvicorn waits less long, but for ever once one byte of the next request has come.
        self._silence.cancel()
        if not self.transport.is_closing():
            self._expect_request()

    def _expect_request(self) -> None:
        self._silence = self.loop.call_later(_SILENCE_SECONDS, self._end_silence)

    def _end_silence(self) -> None:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is None or cycle.response_complete:  # no other request has been read to its head
            self.transport.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, tls: Callable[[], ssl.SSLContext] | None) -> None:
        super().__init__(config)
        self._tls = tls

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, as uvicorn does, but with limits to the time that TLS may take."""
        make_protocol = partial(
            _Protocol, config=self.config, server_state=self.server_state, app_state={}
        )
        loop = asyncio.get_running_loop()
        limit = _SILENCE_SECONDS if self._tls else None
        self.servers = [
            await loop.create_server(
                make_protocol,
                sock=sock,
                ssl=latest_context(self._tls) if self._tls else None,
                ssl_handshake_timeout=limit,
                ssl_shutdown_timeout=limit,
                backlog=self.config.backlog,
            )
            for sock in sockets or []
        ]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: the daemon stops its parts in an order of its own."""
        yield

"""Connections of the web server: TLS, and an end to clients that hold one without using it.

uvicorn parses requests and sends answers, but a client may take as long as it likes to send the
one and to read the other. Here each step of a client has a time limit, and the number of
connections is limited too, because each one costs a descriptor and the database needs some.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.web.tls import ServerTls, lets_in


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of the connections of one web server."""

    patience_seconds: float = 10.0
    """Time for the TLS handshake, for the head of a request, for reading more of an answer, and
    for the end of TLS."""
    most: int = 1024
    """Connections at a time. A silent one takes about 6 KiB of memory, over TLS 280 KiB."""


class Connections:
    """The open connections of a web server, and the ASGI application that it calls.

    At the limit, a new connection takes the place of the one that has waited longest for its
    client; if all are being answered, the new one is refused.
    """

    def __init__(
        self, app: ASGIApp, tls: Callable[[], ServerTls] | None, limits: ConnectionLimits
    ) -> None:
        """Guard `app`.

        Args:
            app: answers the requests.
            tls: returns the TLS of each new connection; None for plain HTTP.
            limits: limits of the connections.
        """
        self._app = app
        self._open: dict[object, Connection] = {}
        self.tls = tls
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; meanwhile its connection waits for us and not for its client."""
        connection = self._open.get(scope["client"])
        if connection is None:  # the client has gone already
            await self._app(scope, receive, send)
            return
        connection.begin_answer()
        try:
            await self._app(scope, receive, send)
        finally:
            connection.end_answer()

    def add(self, connection: "Connection") -> None:
        """Add a new connection; at the limit, abort the one that has waited longest."""
        if len(self._open) >= self.limits.most:
            waiting = [each for each in self._open.values() if each.waits_for_client]
            longest = min(waiting, key=lambda each: each.turn_began, default=connection)
            longest.abort()
            if longest is connection:
                return
            self.remove(longest)  # now, because another one may be added before it is lost
        self._open[connection.address] = connection

    def remove(self, connection: "Connection") -> None:
        """Remove a connection that has ended."""
        if self._open.get(connection.address) is connection:
            del self._open[connection.address]

    def abort(self, *, only_unready: bool = False) -> None:
        """Abort all connections, or only those whose TLS handshake has not ended."""
        for connection in list(self._open.values()):
            if not (only_unready and connection.is_ready):
                connection.abort()


class Connection(asyncio.Protocol):
    """One connection: begins TLS, hands everything to uvicorn's protocol, keeps the time limit."""

    def __init__(self, connections: Connections, http: asyncio.Protocol) -> None:
        """Guard a connection that `http`, a protocol of uvicorn, will serve."""
        self._connections = connections
        self._http = http
        self._loop = asyncio.get_running_loop()
        self._transports: list[asyncio.Transport] = []  # TCP, then TLS if there is any
        self._early = b""
        self._answers = 0
        self._timer: asyncio.TimerHandle | None = None
        self.is_ready = False
        """Whether uvicorn serves the connection: after the TLS handshake, if there is one."""
        self.address: object = self
        """(host, port) of the client, as ASGI has it."""
        self.turn_began = self._loop.time()
        """When it became our or the client's turn, in seconds of the loop's clock."""

    @property
    def waits_for_client(self) -> bool:
        """Whether it is the client's turn: to ask, or to read what we have sent."""
        return not self._answers or self._unsent_bytes > 0

    @property
    def _unsent_bytes(self) -> int:
        return sum(transport.get_write_buffer_size() for transport in self._transports)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin TLS, or let uvicorn serve plain HTTP."""
        tcp = cast("asyncio.Transport", transport)
        self._transports.append(tcp)
        if peer := tcp.get_extra_info("peername"):
            self.address = (str(peer[0]), int(peer[1]))
        self._connections.add(self)
        if tcp.is_closing():  # refused
            return
        if self._connections.tls is None:
            self._serve()
            return
        self._wait()
        tcp.pause_reading()  # until start_tls is there to read
        # The event loop itself keeps only a weak reference to a task.
        self._handshake = self._loop.create_task(self._begin_tls(tcp, self._connections.tls))

    async def _begin_tls(self, tcp: asyncio.Transport, latest: Callable[[], ServerTls]) -> None:
        tls = latest()
        secured = None
        # RuntimeError is asyncio's answer if the connection was aborted during the handshake.
        with contextlib.suppress(OSError, RuntimeError):
            secured = await self._loop.start_tls(
                tcp,
                self,
                tls.context,
                server_side=True,
                ssl_shutdown_timeout=self._connections.limits.patience_seconds,
            )
        if secured and not secured.is_closing() and lets_in(tls, secured):
            self._transports.append(secured)
            self._serve()
        else:
            self.abort()
            self._end()

    def _serve(self) -> None:
        self.is_ready = True
        self._wait()
        self._http.connection_made(self._transports[-1])
        if self._early:
            self._http.data_received(self._early)

    def data_received(self, data: bytes) -> None:
        """Hand on what the client has sent."""
        if self.is_ready:
            self._http.data_received(data)
        else:  # it came with the end of the handshake, and start_tls has not returned yet
            self._early += data

    def eof_received(self) -> None:
        """Hand on that the client sends no more."""
        if self.is_ready:
            self._http.eof_received()

    def pause_writing(self) -> None:
        """Hand on that the client does not read as fast as we write."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Hand on that the client has caught up."""
        self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        was_ready = self.is_ready
        self._end()
        if was_ready:
            self._http.connection_lost(exc)

    def begin_answer(self) -> None:
        """Note that the head of a request has come, so that it is our turn."""
        self._answers += 1
        self._change_turn()

    def end_answer(self) -> None:
        """Note that its answer is written, so that it is the client's turn."""
        self._answers -= 1
        self._change_turn()

    def abort(self) -> None:
        """End the connection at once; what has not been sent yet is lost."""
        self._transports[-1].abort()

    def _end(self) -> None:
        self.is_ready = False
        self._connections.remove(self)
        if self._timer:
            self._timer.cancel()

    def _change_turn(self) -> None:
        if self.is_ready:
            self.turn_began = self._loop.time()
            self._wait()

    def _wait(self, unsent_before: float = math.inf) -> None:
        if self._timer:
            self._timer.cancel()
        patience = self._connections.limits.patience_seconds
        self._timer = self._loop.call_later(patience, self._check, unsent_before)

    def _check(self, unsent_before: float) -> None:
        unsent = self._unsent_bytes
        if 0 < unsent < unsent_before:  # the client reads, if slowly
            self._wait(unsent)
        elif unsent:
            self.abort()
        elif self._answers:  # the answer takes us long
            self._wait()
        else:
            self._transports[-1].close()

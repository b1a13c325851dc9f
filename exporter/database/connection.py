"""One connection to PostgreSQL, made for an unreliable network and for a transaction pooler."""

import asyncio
import contextlib
import select
import socket
import time
import traceback
from typing import Any

import psycopg
from psycopg import AsyncConnection, BaseConnection
from psycopg.rows import TupleRow

from exporter.database.hosts import Server, candidates, servers_of

CONNECT_SECONDS = 5.0
"""The longest that an attempt to connect to the only, or the last, address may take."""

NEXT_ADDRESS_SECONDS = 3.0
"""The longest that an attempt may take where another address is left to be tried."""

CONNECTION_PARAMETERS: dict[str, Any] = {
    "application_name": "loom-exporter",
    # Transactions are begun and ended explicitly, in the same round trip as what they hold.
    "autocommit": True,
    # A transaction pooler gives each transaction another server connection.
    "prepare_threshold": None,
    "client_encoding": "UTF8",
    # Enforced for each address by psycopg; the deadline of `connect` covers name resolution too.
    "connect_timeout": round(CONNECT_SECONDS),
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


class MonitorConnection(AsyncConnection[TupleRow]):
    """A connection that knows its server and its age, and can be looked at without a query."""

    server = Server()
    connected_at = float("inf")
    """`time.monotonic()` when it was made."""

    async def check(self) -> None:
        """Raise if the server has ended this connection; costs no round trip.

        The end of a connection that rests in the pool lies waiting in its socket. Seen before a
        query is sent, it needs no second attempt, which might run what killed the first.

        Raises:
            psycopg.OperationalError: the connection is dead, and closed now.
        """
        try:
            waiting = select.poll()  # select() knows no descriptor beyond 1023
            waiting.register(self.pgconn.socket, select.POLLIN)
            while waiting.poll(0):
                self.pgconn.consume_input()
        except (psycopg.OperationalError, OSError):
            await self.close()
            raise psycopg.OperationalError("the server has closed the connection") from None


async def connect(conninfo: str, last_good: Server | None = None) -> MonitorConnection:
    """Connect to the first server that answers, beginning with the last good one.

    Args:
        conninfo: as for libpq; it may name several hosts, or a service.
        last_good: the server of an earlier connection.

    Raises:
        psycopg.errors.ConnectionTimeout: one gave no answer, and may still be busy with us.
        psycopg.OperationalError: no connection could be made.
    """
    failures: list[psycopg.Error] = []
    async for server, is_last in candidates(servers_of(conninfo), last_good):
        if not isinstance(server, Server):
            failures.append(server)
            continue
        try:
            return await _connect_to(server, conninfo, is_last=is_last)
        except psycopg.Error as error:
            failures.append(error)
    raise _union(failures)


async def _connect_to(server: Server, conninfo: str, *, is_last: bool) -> MonitorConnection:
    longest = CONNECT_SECONDS if is_last else NEXT_ADDRESS_SECONDS
    parameters = CONNECTION_PARAMETERS | server.parameters
    try:
        async with asyncio.timeout(longest):
            connection = await MonitorConnection.connect(conninfo, **parameters)
    except TimeoutError as error:
        _let_go(error)
        raise psycopg.errors.ConnectionTimeout(f"no answer within {longest:g} s") from None
    except psycopg.Error as error:
        _let_go(error)
        raise
    connection.server = server
    connection.connected_at = time.monotonic()
    return connection


def _union(failures: list[psycopg.Error]) -> psycopg.Error:
    """Return one error for all attempts; a timeout if one of them was."""
    if len(failures) == 1:
        return failures[0]
    text = "; ".join(dict.fromkeys(" ".join(str(each).split()) for each in failures))
    if any(isinstance(each, psycopg.errors.ConnectionTimeout) for each in failures):
        return psycopg.errors.ConnectionTimeout(text)
    return psycopg.OperationalError(text)


def hang_up(connection: BaseConnection[Any]) -> None:
    """End `connection` at once, also in the middle of a query; what waits for it gets an error.

    The descriptor stays open until the waiting task has seen the end of file, so that no other
    socket can get its number meanwhile.
    """
    if connection.closed:
        return
    borrowed = socket.socket(fileno=connection.pgconn.socket)
    try:
        with contextlib.suppress(OSError):  # the other side was first
            borrowed.shutdown(socket.SHUT_RDWR)
    finally:
        borrowed.detach()


def _let_go(error: BaseException | None) -> None:
    """Close the socket of an attempt to connect that ended with `error`.

    psycopg leaves it in a local variable of a frame that the error refers to and that refers to
    the error, so that it would stay open until the next garbage collection. Meanwhile later
    attempts go on, and to the server they would be more connections than we promise.
    """
    while error:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__

"""One connection to PostgreSQL, made for an unreliable network and for a transaction pooler."""

import asyncio
import contextlib
import select
import socket
import traceback
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg import AsyncConnection, BaseConnection
from psycopg.rows import TupleRow

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECT_SECONDS = 5.0
"""The longest that one attempt to connect may take, name resolution and log-in included."""

CONNECTION_PARAMETERS: dict[str, Any] = {
    "application_name": "loom-exporter",
    # Transactions are begun and ended explicitly, in the same round trip as what they hold.
    "autocommit": True,
    # A transaction pooler gives each transaction another server connection.
    "prepare_threshold": None,
    "client_encoding": "UTF8",
    # For each address: a second one must get its turn within CONNECT_SECONDS, and a distant pooler
    # the time for its handshakes.
    "connect_timeout": 3,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


class MonitorConnection(AsyncConnection[TupleRow]):
    """A connection that neither connects nor waits for ever."""

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """Connect within `CONNECT_SECONDS`.

        libpq's connect_timeout counts for each address and does not cover name resolution.

        Args:
            conninfo: as for psycopg.
            kwargs: as for psycopg, and `tell`, a function that is told the error, or None if it
                went well: the pool, which calls this, keeps that to itself.

        Raises:
            psycopg.OperationalError: no connection could be made.
        """
        tell: Callable[[psycopg.Error | None], None] = kwargs.pop("tell")
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connection = await super().connect(conninfo, **kwargs)
        except TimeoutError as error:
            _let_go(error)
            late = psycopg.OperationalError(f"no answer within {CONNECT_SECONDS:g} s")
            tell(late)
            raise late from None
        except psycopg.Error as error:
            _let_go(error)
            tell(error)
            raise
        tell(None)
        return connection

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


def hang_up(connection: BaseConnection[Any]) -> None:
    """End `connection` at once, also in the middle of a query; whoever waits gets an error.

    The descriptor stays open until whoever waits on it has seen the end of file, so that no other
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
    the error, so that it would stay open until the garbage collector comes by. Meanwhile the
    attempts of the pool go on, and to the server they would be more than it was promised.
    """
    while error:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__

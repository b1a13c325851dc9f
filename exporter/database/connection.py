"""One connection to PostgreSQL, made for an unreliable network and for a transaction pooler."""

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg import AsyncConnection
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
    "connect_timeout": int(CONNECT_SECONDS),
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
        except TimeoutError:
            late = psycopg.OperationalError(f"no answer within {CONNECT_SECONDS:g} s")
            tell(late)
            raise late from None
        except psycopg.Error as error:
            tell(error)
            raise
        tell(None)
        return connection

    def hang_up(self) -> None:
        """End the connection at once, also in the middle of a query.

        The descriptor stays open until whoever waits on it has seen the end of file, so that no
        other socket can get its number meanwhile.
        """
        if self.closed:
            return
        borrowed = socket.socket(fileno=self.pgconn.socket)
        try:
            with contextlib.suppress(OSError):  # the other side was first
                borrowed.shutdown(socket.SHUT_RDWR)
        finally:
            borrowed.detach()

"""PostgreSQL, reached safely: a few connections, deadlines, and whether it is up."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from exporter.database.connection import (
    CONNECT_SECONDS,
    CONNECTION_PARAMETERS,
    MonitorConnection,
    hang_up,
)
from exporter.database.outcome import RunError, State, describe_error, state_of
from exporter.database.transaction import Question, ask
from exporter.errors import UsageError
from exporter.redaction import redact

MAX_CONNECTIONS = 2
"""What we take of the server's connections at the very most, however slow it is."""

_GRACE_SECONDS = 1.0
"""A server that is silent this long after statement_timeout is taken for dead."""

_LONGEST_PAUSE_SECONDS = 60.0

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The connections of the pool: in the middle of a query, or waiting for the next one."""

    busy: int
    idle: int


class Database:
    """One PostgreSQL database, watched over at most two connections.

    Opening it does not connect: the daemon starts while the database is down, and the pool
    connects when the first query asks for a connection.
    """

    def __init__(
        self, name: str, conninfo: Callable[[], str], *, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        """Prepare, without connecting.

        Args:
            name: value of the label `database`.
            conninfo: read at each connect; may raise UsageError.
            max_connections: the most connections at any moment.
        """
        self.name = name
        self.is_up: bool | None = None
        """Whether the server answered when it was last asked; None before that."""
        self.answered_at = float("-inf")
        """`time.monotonic()` when it last answered."""
        self._failure = "not connected yet"
        self._next_try = float("-inf")
        self._pause_seconds = CONNECT_SECONDS
        self._is_probing = False
        self._is_closing = False
        self._conninfo = conninfo
        self._max_connections = max_connections
        self._busy: set[MonitorConnection] = set()
        # Waiting for one of our own queries to end is not waiting for the server: with a slot,
        # a connection that is not to be had can only mean that the server is away.
        self._slots = asyncio.Semaphore(max_connections)
        self._pool = AsyncConnectionPool(
            self._read_conninfo,
            connection_class=MonitorConnection,
            kwargs={**CONNECTION_PARAMETERS, "tell": self._on_connect},
            min_size=0,
            max_size=max_connections,
            open=False,
            name=f"loom-exporter-{name}",
            check=MonitorConnection.check,
            max_idle=120,
            max_lifetime=1800,
            # Attempts of the pool's own, backing off from 1 s; after that the next query asks anew.
            reconnect_timeout=10,
            num_workers=2,
        )

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Start the pool."""
        await self._pool.open(wait=False)

    async def close(self, timeout_seconds: float = 2.0) -> None:
        """Close every connection; a query that still runs is cut off."""
        for connection in tuple(self._busy):
            hang_up(connection)
        await self._pool.close(timeout=timeout_seconds)

    @property
    def status(self) -> PoolStatus:
        """How the connections are used now."""
        idle = self._pool.get_stats().get("pool_available", 0)
        return PoolStatus(busy=len(self._busy), idle=idle)

    async def ask(self, question: Question) -> Sequence[tuple[Any, ...]]:
        """Return the rows of `question`, which is asked as a query is.

        Raises:
            RunError: with the state in which it ended.
        """
        return await self.run(partial(ask, question=question), question.timeout_seconds)

    async def run(
        self, act: Callable[[MonitorConnection], Awaitable[_Result]], longest_seconds: float
    ) -> _Result:
        """Run `act` on a connection that is hung up a second after `longest_seconds`.

        Raises:
            RunError: with the state in which it ended.
        """
        try:
            async with self._connection(longest_seconds + _GRACE_SECONDS) as connection:
                return await act(connection)
        except psycopg.Error as error:
            state = state_of(error)
            if state is State.UNREACHABLE:
                # The query is not sent again, it may be what ended the connection. Whether the
                # server is gone with it, somebody else has to find out.
                await self.ping()
            raise RunError(state, describe_error(error)) from None

    async def ping(self) -> None:
        """Ask the server for a sign of life; `is_up` has the answer.

        Does nothing while queries use every connection: how they end is the answer.
        """
        if self._slots.locked():
            return
        try:
            async with self._connection(deadline_seconds=2 * _GRACE_SECONDS) as connection:
                await connection.execute("SELECT 1")
        except psycopg.Error as error:
            self._unreachable(describe_error(error))
        except RunError:
            pass  # is_up says it

    async def cancel_running(self) -> None:
        """Let no further query begin, and ask the server to stop those that run."""
        self._is_closing = True
        cancels = (connection.cancel_safe(timeout=2.0) for connection in tuple(self._busy))
        await asyncio.gather(*cancels, return_exceptions=True)

    @asynccontextmanager
    async def _connection(self, deadline_seconds: float) -> AsyncIterator[MonitorConnection]:
        """Lend a connection; whatever still waits for it at the deadline ends with an error."""
        self._fail_fast()
        async with self._slots:
            self._fail_fast()
            is_probing = self.is_up is False
            self._is_probing |= is_probing
            try:
                connection = await self._acquire()
                try:
                    self._busy.add(connection)
                    deadline = asyncio.get_running_loop().call_later(
                        deadline_seconds, self._give_up, connection
                    )
                    yield connection
                    self._answered()
                except RunError:
                    self._answered()
                    raise
                except psycopg.Error as error:
                    if state_of(error) is not State.UNREACHABLE:
                        self._answered()
                    raise
                finally:
                    deadline.cancel()
                    self._busy.discard(connection)
                    await self._pool.putconn(connection)
            finally:
                self._is_probing &= not is_probing

    async def _acquire(self) -> MonitorConnection:
        try:
            return await self._pool.getconn(timeout=CONNECT_SECONDS + 1)
        except (PoolTimeout, PoolClosed):
            if self._busy:  # the server serves the other connection, only not this one
                raise RunError(State.UNREACHABLE, self._failure) from None
            raise self._unreachable(self._failure) from None

    def _fail_fast(self) -> None:
        # While the server is known to be down, one query at a time finds out whether it is back:
        # the others need not queue up for the same news, nor leave connections behind that hang.
        if self._is_closing:
            raise RunError(State.UNREACHABLE, "the exporter is stopping")
        if self.is_up is False and (self._is_probing or time.monotonic() < self._next_try):
            raise RunError(State.UNREACHABLE, self._failure)

    def _read_conninfo(self) -> str:
        try:
            return self._conninfo()
        except UsageError as error:
            self._unreachable(str(error))
            raise

    def _on_connect(self, error: psycopg.Error | None) -> None:
        # A connection that was made proves little: the server may hang all the same.
        if error is None:
            return
        if self._busy:
            # One more may be refused (the role's CONNECTION LIMIT) while another is served. If the
            # server is away, whoever uses that other one will find out.
            self._failure = redact(describe_error(error))
        else:
            self._unreachable(describe_error(error))

    def _give_up(self, connection: MonitorConnection) -> None:
        self._unreachable("no answer, not even that the statement timed out")
        # The server may still be at it: each attempt could leave one more session behind.
        self._next_try = time.monotonic() + self._pause_seconds
        self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        hang_up(connection)

    def _answered(self) -> None:
        self.is_up = True
        self.answered_at = time.monotonic()
        self._pause_seconds = CONNECT_SECONDS

    def _unreachable(self, reason: str) -> RunError:
        self.is_up = False
        self._failure = redact(reason)
        self._next_try = max(self._next_try, time.monotonic() + CONNECT_SECONDS)
        return RunError(State.UNREACHABLE, self._failure)

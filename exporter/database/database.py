"""PostgreSQL, reached safely: a few connections, deadlines, and whether it is up."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from exporter.catalog.query import Query
from exporter.database.connection import CONNECT_SECONDS, CONNECTION_PARAMETERS, MonitorConnection
from exporter.database.outcome import RunError, State, describe, state_of
from exporter.database.transaction import Rows, run
from exporter.redaction import redact
from exporter.settings import SettingsError

MAX_CONNECTIONS = 2
"""What we take of the server's connections at the very most, however slow it is."""

_GRACE_SECONDS = 1.0
"""A server that is silent this long after statement_timeout is taken for dead."""

_TOO_MANY_CONNECTIONS = "53300"


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
            conninfo: read at each connect; may raise SettingsError.
            max_connections: the most connections at any moment.
        """
        self.name = name
        self.is_up: bool | None = None
        """Whether the server answered when it was last asked; None before that."""
        self.answered_at = float("-inf")
        """`time.monotonic()` when it last answered."""
        self._failure = "not connected yet"
        self._failed_at = float("-inf")
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
            max_idle=120,
            max_lifetime=1800,
            # Attempts of the pool's own, backing off from 1 s; after that the next query asks anew.
            reconnect_timeout=10,
            num_workers=2,
        )

    async def open(self) -> None:
        """Start the pool."""
        await self._pool.open(wait=False)

    async def close(self, timeout_seconds: float = 2.0) -> None:
        """Close every connection; a query that still runs is cut off."""
        for connection in tuple(self._busy):
            connection.hang_up()
        await self._pool.close(timeout=timeout_seconds)

    @property
    def status(self) -> PoolStatus:
        """How the connections are used now."""
        idle = self._pool.get_stats().get("pool_available", 0)
        return PoolStatus(busy=len(self._busy), idle=idle)

    async def fetch(self, query: Query) -> Rows:
        """Run `query` once and return at most `series_limit` of its rows.

        Raises:
            RunError: with the state in which the run ended.
        """
        # A connection that died in the pool tells of the past: ask again until one is fresh.
        for _ in range(self._max_connections):
            try:
                return await self._fetch(query)
            except _ConnectionLostError:
                continue
        try:
            return await self._fetch(query)
        except _ConnectionLostError as lost:
            raise self._unreachable(str(lost)) from None

    async def ping(self) -> None:
        """Ask the server for a sign of life; `is_up` has the answer."""
        try:
            async with self._connection(deadline_seconds=2 * _GRACE_SECONDS) as connection:
                await connection.execute("SELECT 1")
        except psycopg.Error as error:
            self._unreachable(describe(error))
        except RunError:
            return  # is_up says it

    async def cancel_running(self) -> None:
        """Ask the server to stop what it does for us; the runs end with state `timeout`."""
        cancels = (connection.cancel_safe(timeout=2.0) for connection in tuple(self._busy))
        await asyncio.gather(*cancels, return_exceptions=True)

    async def _fetch(self, query: Query) -> Rows:
        # The preflight and the query may each use up statement_timeout.
        deadline_seconds = 2 * query.header.timeout + _GRACE_SECONDS
        async with self._connection(deadline_seconds) as connection:
            try:
                return await run(connection, query)
            except psycopg.Error as error:
                state = state_of(error)
                if state is State.UNREACHABLE and error.sqlstate != _TOO_MANY_CONNECTIONS:
                    raise _ConnectionLostError(describe(error)) from None
                raise RunError(state, describe(error)) from None

    @asynccontextmanager
    async def _connection(self, deadline_seconds: float) -> AsyncIterator[MonitorConnection]:
        """Lend a connection; whatever still waits for it at the deadline ends with an error."""
        self._fail_fast()
        async with self._slots:
            self._fail_fast()
            try:
                connection = await self._pool.getconn(timeout=CONNECT_SECONDS + 1)
            except (PoolTimeout, PoolClosed):
                raise self._unreachable(self._failure) from None
            self._busy.add(connection)
            deadline = asyncio.get_running_loop().call_later(
                deadline_seconds, self._give_up, connection
            )
            try:
                yield connection
                self._answered()
            except RunError as error:
                if error.state is not State.UNREACHABLE:
                    self._answered()
                raise
            finally:
                deadline.cancel()
                self._busy.discard(connection)
                await self._pool.putconn(connection)

    def _fail_fast(self) -> None:
        # While the server is known to be down, the pool finds out whether it is back, and whoever
        # asked it first waits for that; the others need not queue up for the same news.
        if self.is_up is False and time.monotonic() - self._failed_at < CONNECT_SECONDS:
            raise RunError(State.UNREACHABLE, self._failure)

    def _read_conninfo(self) -> str:
        try:
            return self._conninfo()
        except SettingsError as error:
            self._unreachable(str(error))
            raise

    def _on_connect(self, error: psycopg.Error | None) -> None:
        if error is None:
            self._answered()
        else:
            self._unreachable(describe(error))

    def _give_up(self, connection: MonitorConnection) -> None:
        self._unreachable("no answer, not even that the statement timed out")
        connection.hang_up()

    def _answered(self) -> None:
        self.is_up = True
        self.answered_at = time.monotonic()

    def _unreachable(self, reason: str) -> RunError:
        self.is_up = False
        self._failure = redact(reason)
        self._failed_at = time.monotonic()
        return RunError(State.UNREACHABLE, self._failure)


class _ConnectionLostError(Exception):
    """The connection broke while it was used."""

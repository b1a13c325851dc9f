"""PostgreSQL, reached safely: a few connections, deadlines, and whether it is up."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import psycopg
import structlog

from exporter.database.connection import CONNECT_SECONDS, MonitorConnection, connect, hang_up
from exporter.database.pool import MAX_IDLE_SECONDS, ConnectionPool
from exporter.database.server_places import ServerPlaces
from exporter.database.sqlstate import describe_error, state_of
from exporter.database.transaction import Question, ask
from exporter.errors import UsageError
from exporter.redaction import redact
from exporter.run_state import RunError, State

if TYPE_CHECKING:
    from exporter.database.hosts import Server

MAX_CONNECTIONS = 2
"""What we take of the server's connections at the very most, however slow it is."""

_CROWDED_IDLE_SECONDS = 1.0
"""A connection rests no longer where more databases of a server are watched than have places."""

_GRACE_SECONDS = 1.0
"""A server that is silent this long after statement_timeout is taken for dead."""

_LATE_SECONDS = 0.5
"""A timer that comes so late tells of a process that did not run, or of a loop that was busy."""

_GRACES = 4
"""How often a deadline that came late is put off by `_GRACE_SECONDS`."""

_HANGING_PAUSE_SECONDS = 45.0
"""The pause after a second attempt that got no answer.

The server ends a log-in that hangs after authentication_timeout (60 s), so with this pause no more
than two of our attempts are there at once.
"""

_Result = TypeVar("_Result")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The connections of the pool: in the middle of a query, or waiting for the next one."""

    busy: int
    idle: int


class Database:
    """One PostgreSQL database, watched over at most two connections.

    Opening it does not connect: the daemon starts while the database is down, and the first query
    that needs a connection makes it. `is_up` is false only where no connection of ours works: one
    that is refused, or hangs, is not the server.
    """

    def __init__(
        self,
        name: str,
        conninfo: Callable[[], str],
        *,
        max_connections: int = MAX_CONNECTIONS,
        places: ServerPlaces | None = None,
    ) -> None:
        """Prepare, without connecting.

        Args:
            name: value of the label `database`.
            conninfo: read at each connect; may raise UsageError.
            max_connections: the most connections at any moment; one where places are few.
            places: the sessions that all databases of the server share; None for this one alone.
        """
        self.name = name
        self.is_up: bool | None = None
        """Whether the server answered when it was last asked; None before that."""
        self.answered_at = float("-inf")
        """`time.monotonic()` when it last answered."""
        self._failure = "not connected yet"
        self._next_try = float("-inf")
        self._pause_seconds = CONNECT_SECONDS
        self._last_good: Server | None = None
        self._silent: set[MonitorConnection] = set()
        self._is_probing = False
        self._is_closing = False
        self._conninfo = conninfo
        self._places = places or ServerPlaces(math.inf)
        self._most = max_connections
        self._is_limited = False
        # Waiting for one of our own queries to end is not waiting for the server: with a slot,
        # a connection that is not to be had can only mean that the server is away.
        self._slots = asyncio.Semaphore(max_connections)
        self._pool = ConnectionPool(f"loom-exporter-{name}", max_connections, self._connect)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Start the pool; nothing is connected."""
        await self._fit()
        await self._pool.open()

    async def close(self, timeout_seconds: float = 2.0) -> None:
        """Close every connection; a query that still runs is cut off."""
        self._is_closing = True
        for connection in tuple(self._pool.busy):
            hang_up(connection)
        await self._pool.close(timeout_seconds)

    @property
    def status(self) -> PoolStatus:
        """How the connections are used now."""
        return PoolStatus(busy=len(self._pool.busy), idle=self._pool.idle)

    @property
    def is_crowded(self) -> bool:
        """Whether other databases need the place of a connection that rests."""
        return self._places.is_crowded

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
                # The query is not sent again: it may be what ended the connection. Whether the
                # server is gone with it, a ping finds out.
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
            if state_of(error) is State.UNREACHABLE and not self._pool.is_open:
                self._unreachable(describe_error(error))
        except RunError:
            pass  # is_up says it

    @asynccontextmanager
    async def room(self) -> AsyncIterator[None]:
        """Do with one connection less, so that another session may be open meanwhile.

        Raises:
            RunError: `unreachable`, the server is down, or the pool may not connect either.
        """
        async with self._slots:
            if self.is_up is False:
                raise RunError(State.UNREACHABLE, self._failure)
            async with self._pool.room(), self._places.held():
                yield

    def put_off_growth(self) -> None:
        """Try no further connection for a while: an attempt may still be busy on the server."""
        self._pool.put_off_growth()

    async def cancel_running(self) -> None:
        """Let no further query begin, and ask the server to stop those that run."""
        self._is_closing = True
        cancels = (connection.cancel_safe(timeout=2.0) for connection in tuple(self._pool.busy))
        await asyncio.gather(*cancels, return_exceptions=True)

    @asynccontextmanager
    async def _connection(self, deadline_seconds: float) -> AsyncIterator[MonitorConnection]:
        """Lend a connection; what still waits for it at the deadline ends with an error."""
        self._fail_fast()
        await self._fit()
        async with self._slots:
            self._fail_fast()
            is_probing = self.is_up is False
            self._is_probing |= is_probing
            try:
                connection = await self._pool.acquire()
                deadline = asyncio.create_task(self._watch(connection, deadline_seconds))
                try:
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
                    self._silent.discard(connection)
                    await self._pool.release(connection)
            finally:
                self._is_probing &= not is_probing

    async def _fit(self) -> None:
        """Take one session where places are few, and as many as we may where they are not."""
        if self._is_limited == self.is_crowded:
            return
        self._is_limited = self.is_crowded
        if self._is_limited:
            self._pool.limit(1, _CROWDED_IDLE_SECONDS)
            try:
                for _ in range(1, self._most):
                    await self._slots.acquire()
            except asyncio.CancelledError:
                self._is_limited = False  # the next one that asks does it
                raise
        else:
            self._pool.limit(self._most, MAX_IDLE_SECONDS)
            for _ in range(1, self._most):
                self._slots.release()

    async def _connect(self) -> MonitorConnection:
        """Connect once, for the pool.

        Raises:
            RunError: `unreachable`; the server is down only if no other connection is open.
        """
        self._fail_if_closing()
        if self.is_up is False and time.monotonic() < self._next_try:
            raise RunError(State.UNREACHABLE, self._failure)
        try:
            connection = await self._places.connect(self._connect_now)
        except (psycopg.Error, UsageError) as error:
            reason = describe_error(error) if isinstance(error, psycopg.Error) else str(error)
            if self._pool.is_open:
                raise RunError(State.UNREACHABLE, redact(reason)) from None
            if isinstance(error, psycopg.errors.ConnectionTimeout):
                self._pause()
            raise self._unreachable(reason) from None
        except RunError:
            raise
        except Exception as error:
            # A fault of ours. Those who wait for the connection must hear of it too.
            _log.exception("connecting failed")
            raise self._unreachable(f"{type(error).__name__}: {error}") from None
        self._last_good = connection.server
        return connection

    async def _connect_now(self) -> MonitorConnection:
        self._fail_if_closing()
        return await connect(self._conninfo(), self._last_good)

    def _fail_if_closing(self) -> None:
        if self._is_closing:
            raise RunError(State.UNREACHABLE, "the exporter is stopping")

    def _fail_fast(self) -> None:
        # While the server is known to be down, one query at a time finds out whether it is back:
        # the others need not queue up for the same news, nor leave connections behind that hang.
        self._fail_if_closing()
        if self.is_up is False and (self._is_probing or time.monotonic() < self._next_try):
            raise RunError(State.UNREACHABLE, self._failure)

    async def _watch(self, connection: MonitorConnection, seconds: float) -> None:
        """Give a connection up at its deadline, or a little later if it was us who were held up.

        Then an answer may lie in the socket, and the next question has not been asked. Not for
        ever: a loop that is always busy would be late each time.
        """
        loop = asyncio.get_running_loop()
        for _ in range(1 + _GRACES):
            due = loop.time() + seconds
            await asyncio.sleep(seconds)
            if loop.time() - due <= _LATE_SECONDS:
                break
            seconds = _GRACE_SECONDS
        self._give_up(connection)

    def _give_up(self, connection: MonitorConnection) -> None:
        """Hang up on a server process that is silent; a ping on another one says if all are."""
        self._silent.add(connection)
        if self._pool.busy <= self._silent and not self._pool.idle:
            self._pause()
            self._unreachable("no answer, not even that the statement timed out")
        else:
            self._pool.put_off_growth()  # the process may stay on the server, and so may the next
        hang_up(connection)

    def _pause(self) -> None:
        # The server may still be at it: each attempt could leave one more session behind.
        self._next_try = time.monotonic() + self._pause_seconds
        self._pause_seconds = _HANGING_PAUSE_SECONDS

    def _answered(self) -> None:
        self.is_up = True
        self.answered_at = time.monotonic()
        self._pause_seconds = CONNECT_SECONDS

    def _unreachable(self, reason: str) -> RunError:
        self.is_up = False
        self._failure = redact(reason)
        self._next_try = max(self._next_try, time.monotonic() + CONNECT_SECONDS)
        return RunError(State.UNREACHABLE, self._failure)

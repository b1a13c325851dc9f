"""The pool of psycopg_pool, with a say in when it may connect.

By itself the pool tries again and again in the background. Each try that hangs may leave a session
on the server, so here a try is made only when a query needs it and nothing speaks against it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self, cast

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from exporter.database.connection import MonitorConnection
from exporter.run_state import RunError, State

MAX_IDLE_SECONDS = 30.0
"""A connection that rests this long is closed: it stops CREATE DATABASE … TEMPLATE and RENAME."""

MAX_LIFETIME_SECONDS = 1800.0
"""An older connection is replaced, so that it follows a name that has moved."""

SECOND_TRY_SECONDS = 60.0
"""After a further connection was refused, the ones that work serve all for this long."""

_LONGEST_WAIT_SECONDS = 120.0
"""Longer than any query that a waiting one waits for; it only ends a hang."""


class ConnectionPool:
    """Connections for as many borrowers at once as the caller lets in.

    One attempt to connect at a time. A borrower waits for a busy connection where no further one
    can be made, and fails at once where there is none at all.
    """

    def __init__(
        self,
        name: str,
        most: int,
        connect: Callable[[], Awaitable[MonitorConnection]],
    ) -> None:
        """Prepare; `connect` raises RunError where no connection can be made."""
        self.busy: set[MonitorConnection] = set()
        self._most = most
        self._reserved = 0
        self._alive: set[MonitorConnection] = set()
        self._connect = connect
        self._connecting = asyncio.Lock()
        self._no_growth_before = float("-inf")
        self._refusal: RunError | None = None
        self._attempt_ended = asyncio.Event()
        self._pool: AsyncConnectionPool[MonitorConnection] = AsyncConnectionPool(
            connection_class=_Made,
            kwargs={"make": self._made},
            min_size=0,
            max_size=most,
            open=False,
            name=name,
            check=MonitorConnection.check,
            max_idle=MAX_IDLE_SECONDS,
            max_lifetime=MAX_LIFETIME_SECONDS,
            reconnect_timeout=0.001,  # a second attempt at once, which `_made` puts off
            num_workers=2,
        )

    @property
    def idle(self) -> int:
        """The number of connections that rest."""
        return self._pool.get_stats().get("pool_available", 0)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection: busy, resting, or on its way to a borrower."""
        return self.open_connections > 0

    @property
    def open_connections(self) -> int:
        """The number of connections that are open."""
        self._alive = {each for each in self._alive if not each.closed}
        return len(self._alive)

    async def open(self) -> None:
        """Start the pool; nothing is connected."""
        await self._pool.open(wait=False)

    async def close(self, timeout_seconds: float) -> None:
        """Close what rests; what is busy is closed when it comes back."""
        await self._pool.close(timeout=timeout_seconds)

    def limit(self, most: int, idle_seconds: float) -> None:
        """Keep room for a further session within `most`, and let connections rest so long."""
        self._most = most
        self._pool.max_idle = idle_seconds

    def put_off_growth(self) -> None:
        """Try no further connection for a while: the server refused one, or keeps a dead one."""
        self._no_growth_before = time.monotonic() + SECOND_TRY_SECONDS

    async def acquire(self) -> MonitorConnection:
        """Return a connection; where no further one may be made, wait for one that is busy.

        Raises:
            RunError: `unreachable`, there is none and none can be made.
        """
        self._refusal = None
        waiting = asyncio.create_task(self._pool.getconn(timeout=_LONGEST_WAIT_SECONDS))
        try:
            while not waiting.done():
                ended = asyncio.create_task(self._attempt_ended.wait())
                await asyncio.wait((waiting, ended), return_when=asyncio.FIRST_COMPLETED)
                ended.cancel()
                refusal = self._refusal_of_all()
                if refusal and not waiting.done():
                    raise refusal
            connection = await waiting
        except PoolTimeout:
            told = f"no connection was free within {_LONGEST_WAIT_SECONDS:g} s"
            raise RunError(State.UNREACHABLE, told) from None
        except PoolClosed:
            raise RunError(
                State.UNREACHABLE, "not connected: the exporter is starting or stopping"
            ) from None
        finally:
            await self._stop_waiting(waiting)
        self.busy.add(connection)
        return connection

    async def release(self, connection: MonitorConnection) -> None:
        """Take a connection back: the longest waiting borrower gets it, or it rests."""
        self.busy.discard(connection)
        await self._pool.putconn(connection)
        self._wake()  # one that was lost may have been the last

    @asynccontextmanager
    async def room(self) -> AsyncIterator[None]:
        """Keep the place of one connection free, for a session that is not of this pool.

        The caller is the only one that does, and lets in one borrower less meanwhile, so that one
        of two connections rests: it is closed, and made again afterwards.

        Raises:
            RunError: `unreachable`, the pool itself may not connect now.
        """
        if time.monotonic() < self._no_growth_before:
            raise RunError(State.UNREACHABLE, "further connections are put off")
        resting: MonitorConnection | None = None
        self._reserved = 1
        try:
            async with self._connecting:
                pass  # an attempt that was under way has ended
            if self.open_connections >= self._most:
                resting = await self._pool.getconn(timeout=1.0)
                await resting.close()
            yield
        except (PoolTimeout, PoolClosed):
            raise RunError(State.UNREACHABLE, "no place for a further connection") from None
        finally:
            self._reserved = 0
            if resting:
                await self._pool.putconn(resting)

    def _refusal_of_all(self) -> RunError | None:
        """Return why the last attempt failed, if no connection is left to be waited for."""
        return None if self.is_open else self._refusal

    async def _stop_waiting(self, waiting: "asyncio.Task[MonitorConnection]") -> None:
        if waiting.done():
            return
        waiting.cancel()
        await asyncio.wait((waiting,))
        if not waiting.cancelled() and not waiting.exception():
            await self._pool.putconn(waiting.result())

    async def _made(self) -> MonitorConnection:
        """Connect for the pool, unless that was put off."""
        try:
            async with self._connecting:
                if self.is_open and time.monotonic() < self._no_growth_before:
                    raise RunError(State.UNREACHABLE, "further connections are put off")
                if self.open_connections + self._reserved >= self._most and self._reserved:
                    raise RunError(State.UNREACHABLE, "another session has the place")
                connection = await self._connect()
                self._alive.add(connection)
                return connection
        except RunError as error:
            if self.is_open and not self._reserved:
                self.put_off_growth()
            self._refusal = error
            raise psycopg.OperationalError(str(error)) from None
        finally:
            self._wake()

    def _wake(self) -> None:
        """Have all borrowers that wait look again.

        The next attempt gets an event of its own: one that is cleared and used again could be
        cleared before the last of them has seen it.
        """
        ended, self._attempt_ended = self._attempt_ended, asyncio.Event()
        ended.set()


class _Made(MonitorConnection):
    """What the pool calls to connect."""

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """Return what `make` makes; the host and its deadline are its matter."""
        del conninfo
        return cast("Self", await kwargs["make"]())

"""The few connections that are kept open: lent, handed on, and let go when they rest."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import psycopg
from psycopg.pq import TransactionStatus

from exporter.database.connection import MonitorConnection
from exporter.database.outcome import RunError, State

MAX_IDLE_SECONDS = 30.0
"""A connection that rests this long is closed: it stops CREATE DATABASE … TEMPLATE and RENAME."""

MAX_LIFETIME_SECONDS = 1800.0
"""An older connection is made anew, so that it follows a name that has moved."""

SECOND_TRY_SECONDS = 60.0
"""After a further connection was refused, the ones that work serve all for this long."""


class _Resting(NamedTuple):
    connection: MonitorConnection
    since: float
    """`time.monotonic()` of its return."""


class ConnectionPool:
    """Connections for as many borrowers at once as the caller lets in.

    The task that needs a connection makes it: one attempt at a time, and none in the background.
    """

    def __init__(self, connect: Callable[[], Awaitable[MonitorConnection]]) -> None:
        """Prepare; `connect` raises RunError where no connection can be made."""
        self.busy: set[MonitorConnection] = set()
        self._connect = connect
        self._idle: list[_Resting] = []
        self._waiting: deque[asyncio.Future[MonitorConnection | None]] = deque()
        self._connecting = asyncio.Lock()
        self._no_growth_before = float("-inf")
        self._is_closed = False

    @property
    def idle(self) -> int:
        """The number of connections that rest."""
        return len(self._idle)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, busy or resting."""
        return bool(self.busy or self._idle)

    def put_off_growth(self) -> None:
        """Try no further connection for a while: the server refused one, or keeps a dead one."""
        self._no_growth_before = time.monotonic() + SECOND_TRY_SECONDS

    async def acquire(self) -> MonitorConnection:
        """Return a connection; where no further one may be made, wait for one that is busy.

        Raises:
            RunError: `unreachable`, there is none and none can be made.
        """
        while not self._is_closed:
            connection = await self._rested()
            if connection is None:
                waits = self.busy and time.monotonic() < self._no_growth_before
                connection = await (self._handed_on() if waits else self._made())
            if connection is not None:
                self.busy.add(connection)
                return connection
        raise RunError(State.UNREACHABLE, "the exporter is stopping")

    async def release(self, connection: MonitorConnection) -> None:
        """Take a connection back: the longest waiting borrower gets it, or it rests."""
        is_idle = connection.info.transaction_status is TransactionStatus.IDLE
        is_old = time.monotonic() > connection.connected_at + MAX_LIFETIME_SECONDS
        if not is_idle or is_old or self._is_closed:
            self.busy.discard(connection)
            await connection.close()
            self._hand_on(None)
        elif not self._hand_on(connection):
            self.busy.discard(connection)
            self._idle.append(_Resting(connection, time.monotonic()))

    async def close_resting(self) -> None:
        """Close the connections that have rested too long, again and again."""
        while True:
            await asyncio.sleep(MAX_IDLE_SECONDS / 6)
            oldest = time.monotonic() - MAX_IDLE_SECONDS
            resting, self._idle = self._idle, []
            for each in resting:
                if each.since > oldest:
                    self._idle.append(each)
                else:
                    await each.connection.close()

    async def close(self) -> None:
        """Close what rests; what is busy is closed when it comes back."""
        self._is_closed = True
        while self._hand_on(None):
            pass
        while self._idle:
            await self._idle.pop().connection.close()

    async def _rested(self) -> MonitorConnection | None:
        while self._idle:
            connection = self._idle.pop().connection
            try:
                await connection.check()
            except psycopg.OperationalError:
                continue
            return connection
        return None

    async def _made(self) -> MonitorConnection | None:
        """Connect; None where a connection that is already there will serve."""
        async with self._connecting:
            if self._idle or (self.busy and time.monotonic() < self._no_growth_before):
                return None
            try:
                return await self._connect()
            except RunError:
                if not self.is_open:
                    raise
                self.put_off_growth()
                return None

    async def _handed_on(self) -> MonitorConnection | None:
        """Wait for a connection that is returned; None if it was lost, or all end."""
        future: asyncio.Future[MonitorConnection | None] = asyncio.Future()
        self._waiting.append(future)
        try:
            return await future
        except asyncio.CancelledError:
            if not future.cancelled() and (connection := future.result()):
                await self.release(connection)
            raise

    def _hand_on(self, connection: MonitorConnection | None) -> bool:
        """Give it to the longest waiting borrower; false if nobody waits."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(connection)
                return True
        return False

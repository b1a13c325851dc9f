"""A bound for all our sessions on one server, where several databases of it are watched."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from exporter.database.connection import MonitorConnection

_LOOK_SECONDS = 0.05
"""Time between two looks for a place that has become free."""


class ServerPlaces:
    """Gives each connection to one server a place, also while it is on its way."""

    def __init__(self, most: float) -> None:
        """Allow `most` sessions at a time."""
        self._most = most
        self._open: set[MonitorConnection] = set()
        self._held = 0
        self._turn = asyncio.Lock()
        self.is_crowded = False
        """Whether there may be more sessions than places, so that none may rest for long."""

    async def connect(self, make: Callable[[], Awaitable[MonitorConnection]]) -> MonitorConnection:
        """Wait for a place, and make a connection, which keeps it for as long as it is open."""
        async with self.held():
            connection = await make()
            self._open.add(connection)
            return connection

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Wait for a place, first come first served, and keep it meanwhile."""
        async with self._turn:
            # A connection that ends, by whatever cause, tells nobody.
            while self._taken() >= self._most:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_SECONDS)
            self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    def _taken(self) -> int:
        self._open = {each for each in self._open if not each.closed}
        return self._held + len(self._open)

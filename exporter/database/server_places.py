"""A bound for all our sessions on one server, where several databases of it are watched."""

import asyncio
from collections.abc import Awaitable, Callable

from exporter.database.connection import MonitorConnection

_LOOK_SECONDS = 0.05
"""Time between two looks for a place that has become free."""


class ServerPlaces:
    """Gives each connection to one server a place, also while it is on its way."""

    def __init__(self, most: float) -> None:
        """Allow `most` sessions at a time."""
        self._most = most
        self._open: set[MonitorConnection] = set()
        self._coming = 0
        self._turn = asyncio.Lock()
        self.is_crowded = False
        """Whether there may be more sessions than places, so that none may rest for long."""

    async def connect(self, make: Callable[[], Awaitable[MonitorConnection]]) -> MonitorConnection:
        """Wait for a place, first come first served, and make a connection, which keeps it."""
        async with self._turn:
            # A connection that ends, by whatever cause, tells nobody.
            while self._taken() >= self._most:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_SECONDS)
            self._coming += 1
        try:
            connection = await make()
            self._open.add(connection)
            return connection
        finally:
            self._coming -= 1

    def _taken(self) -> int:
        self._open = {each for each in self._open if not each.closed}
        return self._coming + len(self._open)

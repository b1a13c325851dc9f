"""A bound for all our sessions on one server, where several databases of it are watched."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from weakref import WeakSet

from exporter.database.pool import ConnectionPool

_LOOK_SECONDS = 0.05
"""Time between two looks for a place that has become free."""


class ServerPlaces:
    """Counts the connections of all pools to one server, those on their way too."""

    def __init__(self, most: float) -> None:
        """Allow `most` sessions at a time."""
        self._most = most
        self._pools: WeakSet[ConnectionPool] = WeakSet()
        self._coming = 0
        self.is_crowded = False
        """Whether there may be more sessions than places, so that none may rest for long."""

    def add(self, pool: ConnectionPool) -> None:
        """Count the connections of a pool from now on."""
        self._pools.add(pool)

    @asynccontextmanager
    async def place(self, is_wanted: Callable[[], bool]) -> AsyncIterator[None]:
        """Wait for a place, unless it is not wanted any more, and keep it while one connects."""
        # A connection that ends, by whatever cause, tells nobody.
        while is_wanted() and self._taken() >= self._most:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    def _taken(self) -> int:
        return self._coming + sum(pool.open_connections for pool in self._pools)

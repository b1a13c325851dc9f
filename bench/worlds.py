"""Databases that behave as told, hour by hour.

Times of calls are lognormal. Only what pg_stat_statements would know is kept of them: how many,
their sum, and how they spread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Above this many calls in an hour they are put together from blocks, drawn beforehand.
_SINGLE_CALLS = 1_000
_BLOCK_CALLS = 1_000
_BLOCKS = 5_000


@dataclass(frozen=True)
class World:
    """How a database behaves."""

    calls: int
    """Calls an hour, of all statements."""
    log_stddev: float
    """σ of the time of a call."""
    hour_log_stddev: float = 0.0
    """τ: how much an hour differs from the next, for all statements alike."""
    means_seconds: tuple[float, ...] = (0.002, 0.005, 0.010)
    shares: tuple[float, ...] = (0.5, 0.3, 0.2)
    """How the calls are divided among the statements."""
    baseline_hours: int = 20


class Hour(NamedTuple):
    """An hour: for each statement its calls, their total and their total square, over its mean."""

    calls: Sequence[int]
    totals: Sequence[float]
    squares: Sequence[float]
    factor: float
    """How slow this hour is, for all statements alike."""


class Source:
    """Draws hours of a world. The same seed draws the same hours, in the same order."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = np.random.default_rng(seed)
        self._blocks: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        if world.calls > _SINGLE_CALLS:
            calls = self._draw(_BLOCKS * _BLOCK_CALLS).reshape(_BLOCKS, _BLOCK_CALLS)
            self._blocks = calls.sum(axis=1), (calls**2).sum(axis=1)

    def hours(
        self, count: int, shares: tuple[float, ...] | None = None, calls: int | None = None
    ) -> list[Hour]:
        """Draw hours, all at once."""
        shares = shares or self._world.shares
        calls = calls or self._world.calls
        size = 1 if self._blocks is None else _BLOCK_CALLS
        drawn = self._random.multinomial(calls // size, shares, size=count)
        owners = np.repeat(np.arange(drawn.size), drawn.ravel())
        if self._blocks is None:
            totals = self._draw(owners.size)
            squares = totals**2
        else:
            chosen = self._random.integers(_BLOCKS, size=owners.size)
            totals, squares = self._blocks[0][chosen], self._blocks[1][chosen]
        factors = np.exp(self._random.normal(0.0, self._world.hour_log_stddev, count))
        return [
            Hour(*hour)
            for hour in zip(
                (drawn * size).tolist(),
                _by_owner(owners, totals, drawn.shape),
                _by_owner(owners, squares, drawn.shape),
                factors.tolist(),
                strict=True,
            )
        ]

    def _draw(self, count: int) -> NDArray[np.float64]:
        """Return times of calls over their mean."""
        sigma = self._world.log_stddev
        return self._random.lognormal(-(sigma**2) / 2, sigma, count)


def _by_owner(
    owners: NDArray[np.int64], values: NDArray[np.float64], shape: tuple[int, ...]
) -> list[list[float]]:
    sums = np.bincount(owners, weights=values, minlength=math.prod(shape))
    rows: list[list[float]] = sums.reshape(shape).tolist()
    return rows

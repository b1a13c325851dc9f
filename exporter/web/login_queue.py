"""Who is next to have a password compared: one at a time, and guesses come last.

Each comparison occupies a processor for up to seconds, so many guesses could
keep the first right login waiting for minutes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeVar

K = TypeVar("K")

MOST_WAITING = 16
"""More logins do not wait: one that comes in then is refused, or takes the place of a guesser's."""

_MOST_REMEMBERED = 1_000

Client = tuple[str, int]
"""Address and port of a client."""


class Rank(IntEnum):
    """In which order logins have their turn."""

    RIGHT_BEFORE = 0
    """From this address somebody has logged in."""
    UNKNOWN = 1
    WRONG_BEFORE = 2
    """On this connection a password was wrong."""


@dataclass(slots=True)
class _Waiting:
    rank: Rank
    turn: asyncio.Future[bool] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class LoginQueue:
    """Compares passwords, one at a time; the same one of several requests is compared once."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        self._is_comparing = False
        self._running: dict[bytes, asyncio.Task[bool | None]] = {}
        # As sets that know their order.
        self._right: dict[str, None] = {}
        self._wrong: dict[Client, None] = {}

    async def compare(
        self, proof: bytes, client: Client, compare: Callable[[], Awaitable[bool]]
    ) -> bool | None:
        """Return whether a password is right; None if too many wait, and it was not compared.

        Args:
            proof: what is the same for two requests only if user and password are.
            client: who asks.
            compare: compares it.
        """
        if (running := self._running.get(proof)) is None:
            running = asyncio.create_task(self._compare(self._rank(client), compare))
            self._running[proof] = running
            running.add_done_callback(lambda _: self._running.pop(proof))
        # Another request may wait for it too, so that it goes on if this one is cancelled.
        is_right = await asyncio.shield(running)
        if is_right:
            _remember(self._right, client[0])
        elif is_right is False:
            _remember(self._wrong, client)
        return is_right

    async def _compare(self, rank: Rank, compare: Callable[[], Awaitable[bool]]) -> bool | None:
        if self._is_comparing and not await self._wait(rank):
            return None
        self._is_comparing = True
        try:
            return await compare()
        finally:
            self._call_next()

    async def _wait(self, rank: Rank) -> bool:
        """Wait for a turn; return False if there is no place, or a better rank has taken it."""
        if len(self._waiting) >= MOST_WAITING:
            last = max(reversed(self._waiting), key=lambda each: each.rank)
            if last.rank <= rank:
                return False
            self._waiting.remove(last)
            last.turn.set_result(False)
        waiting = _Waiting(rank)
        self._waiting.append(waiting)
        return await waiting.turn

    def _call_next(self) -> None:
        """Give the turn to the best rank, and among equals to the one that has waited longest."""
        if not self._waiting:
            self._is_comparing = False
            return
        first = min(self._waiting, key=lambda each: each.rank)
        self._waiting.remove(first)
        first.turn.set_result(True)

    def _rank(self, client: Client) -> Rank:
        if client in self._wrong:
            return Rank.WRONG_BEFORE
        return Rank.RIGHT_BEFORE if client[0] in self._right else Rank.UNKNOWN


def _remember(known: dict[K, None], key: K) -> None:
    known.pop(key, None)
    known[key] = None
    if len(known) > _MOST_REMEMBERED:
        del known[next(iter(known))]

"""What was rendered, kept for the next client until a snapshot changes."""

import asyncio
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from exporter.collect.store import SnapshotStore

KEPT_SECONDS = 5.0
"""Longest time that a rendering is kept: ages and figures of the process change by themselves."""

_MOST_KEPT = 8

_THREADS = ThreadPoolExecutor(2, thread_name_prefix="rendering")
"""Of their own: whatever hangs in the threads that all share, a scrape is answered."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    content: T
    generations: tuple[int, ...]
    expires: float


class RenderCache(Generic[T]):
    """Keeps renderings by key while their snapshot stores stay as they are.

    Rendering runs in a thread, once for all clients that ask for the same, and one at a time.
    """

    def __init__(self, *stores: SnapshotStore) -> None:
        self._stores = stores
        self._rendering = asyncio.Lock()
        self._kept: dict[Hashable, _Kept[T]] = {}

    async def get(self, key: Hashable, render: Callable[[], T]) -> T:
        """Return the rendering kept under `key`; render it where there is none, or an old one."""
        if kept := self._current(key):
            return kept.content
        async with self._rendering:
            if kept := self._current(key):  # rendered while we waited
                return kept.content
            generations, expires = self._generations(), self._next_expiry()
            content = await _on_thread(render)
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = _Kept(content, generations, expires)
            return content

    async def render_once(self, render: Callable[[], T]) -> T:
        """Return a rendering that is not kept."""
        async with self._rendering:
            return await _on_thread(render)

    def _current(self, key: Hashable) -> _Kept[T] | None:
        kept = self._kept.get(key)
        is_current = (
            kept and time.monotonic() < kept.expires and kept.generations == self._generations()
        )
        return kept if is_current else None

    def _generations(self) -> tuple[int, ...]:
        return tuple(store.generation for store in self._stores)

    def _next_expiry(self) -> float:
        """Return when the first snapshot becomes too old to be shown (`time.monotonic()`)."""
        now = time.monotonic()
        snapshots = (each for store in self._stores for each in store.latest())
        expiries = (each.expires for each in snapshots if each.expires > now)
        return min([now + KEPT_SECONDS, *expiries])


async def _on_thread(render: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_THREADS, render)

"""A rendering is kept while the snapshots stay as they are, and no longer."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING
from weakref import WeakSet

import pytest

from exporter.run_state import State
from exporter.web.render_cache import KEPT_SECONDS, RenderCache
from tests.support.judging import MAX_AGE_SECONDS, make_board
from tests.support.observers import HANG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable


class _Renderer:
    """Renders a number that grows; remembers how many renderings ran at the same time."""

    def __init__(self) -> None:
        self.count = 0
        self.threads: set[int] = set()
        self.most_at_once = 0
        self._running = 0

    def __call__(self) -> int:
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        self.threads.add(threading.get_ident())
        time.sleep(0.005)
        self._running -= 1
        self.count += 1
        return self.count


@pytest.mark.usefixtures("clock")
async def test_rendering_is_kept_until_a_snapshot_changes() -> None:
    board, render = make_board(), _Renderer()
    cache = RenderCache[int](board)
    assert [await cache.get("page", render) for _ in range(3)] == [1, 1, 1]
    board.publish("number", State.OK, {"loom_number": {(): 1.0}})
    assert await cache.get("page", render) == 2


async def test_rendering_is_kept_for_some_seconds(clock: Callable[[float], None]) -> None:
    cache, render = RenderCache[int](make_board()), _Renderer()
    await cache.get("page", render)
    clock(KEPT_SECONDS - 1)
    assert await cache.get("page", render) == 1
    clock(1)
    assert await cache.get("page", render) == 2


async def test_rendering_is_not_kept_longer_than_the_values_on_it(
    clock: Callable[[float], None],
) -> None:
    cache = RenderCache[int](make_board(number={"loom_number": {(): 1.0}}))
    render = _Renderer()
    clock(MAX_AGE_SECONDS - 1)
    await cache.get("page", render)
    clock(1)
    assert await cache.get("page", render) == 2


@pytest.mark.usefixtures("clock")
async def test_one_rendering_at_a_time_and_none_on_the_loop() -> None:
    cache, render = RenderCache[int](make_board()), _Renderer()
    await asyncio.gather(
        *(cache.get(number % 3, render) for number in range(12)),
        *(cache.render_once(render) for _ in range(3)),
    )
    assert (render.count, render.most_at_once) == (6, 1)
    assert threading.get_ident() not in render.threads


@pytest.mark.usefixtures("clock")
async def test_what_is_kept_is_served_while_something_else_is_rendered() -> None:
    cache, render = RenderCache[int](make_board()), _Renderer()
    await cache.get("page", render)
    goes_on = threading.Event()
    slow = asyncio.create_task(cache.get("other", lambda: int(goes_on.wait(HANG_SECONDS))))
    await asyncio.sleep(0)
    assert await cache.get("page", render) == 1
    assert not slow.done(), "it did not wait for it"
    goes_on.set()
    assert await slow == 1


async def test_rendering_that_fails_is_tried_again() -> None:
    cache, render = RenderCache[int](make_board()), _Renderer()
    with pytest.raises(ZeroDivisionError):
        await cache.get("page", lambda: 1 // 0)
    assert await cache.get("page", render) == 1


async def test_few_renderings_are_kept_however_many_are_asked_for() -> None:
    cache = RenderCache[_Renderer](make_board())
    alive: WeakSet[_Renderer] = WeakSet()

    def render() -> _Renderer:
        content = _Renderer()
        alive.add(content)
        return content

    for number in range(100):
        await cache.get(number, render)
    assert len(alive) <= 8

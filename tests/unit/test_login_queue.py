"""In which order passwords are compared, and how many may wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from exporter.web.login_queue import MOST_WAITING, LoginQueue
from tests.support.observers import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def test_address_of_a_right_login_comes_before_all_others() -> None:
    logins = LoginQueue()
    turns: list[str] = []
    held = asyncio.Event()

    async def right() -> bool:
        return True

    def noted(name: str, *, answer: bool) -> Callable[[], Awaitable[bool]]:
        async def compare() -> bool:
            await held.wait()
            turns.append(name)
            return answer

        return compare

    assert await logins.compare(b"0", ("10.0.0.1", 1), right)
    held.set()
    assert await logins.compare(b"1", ("10.0.0.2", 1), noted("wrong", answer=False)) is False
    turns.clear()
    held.clear()
    tasks = []
    for number, (name, client) in enumerate(
        {
            "first": ("10.0.0.9", 1),
            "wrong before": ("10.0.0.2", 1),
            "unknown": ("10.0.0.3", 1),
            "right before": ("10.0.0.1", 2),
        }.items()
    ):
        compare = noted(name, answer=True)
        tasks.append(asyncio.create_task(logins.compare(b"%d" % (9 + number), client, compare)))
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    held.set()
    await asyncio.gather(*tasks)
    assert turns == ["first", "right before", "unknown", "wrong before"]


async def test_better_rank_takes_a_place_and_an_equal_one_does_not() -> None:
    logins = LoginQueue()
    held = asyncio.Event()

    async def compare() -> bool:
        await held.wait()
        return False

    def start(number: int, host: str) -> asyncio.Task[bool | None]:
        return asyncio.create_task(logins.compare(b"%d" % number, (host, number), compare))

    logins._right["10.0.0.1"] = None
    unknown = [start(number, "10.0.0.2") for number in range(MOST_WAITING + 1)]
    await until("all places are taken", lambda: len(logins._waiting) == MOST_WAITING)
    assert await start(100, "10.0.0.2") is None, "there is no place"
    right = start(101, "10.0.0.1")
    await until("the last one makes way", unknown[-1].done)
    assert [task.done() for task in unknown] == [False] * MOST_WAITING + [True]
    assert unknown[-1].result() is None
    held.set()
    assert await right is False
    await asyncio.gather(*unknown)

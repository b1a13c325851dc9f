"""The turns in which places for sessions on one server are given."""

from __future__ import annotations

import asyncio

from exporter.database.server_places import ServerPlaces


async def test_first_come_is_first_served_and_a_newcomer_passes_nobody_over() -> None:
    places, served = ServerPlaces(1), list[str]()

    async def use(name: str) -> None:
        async with places.held():
            served.append(name)

    async with places.held():
        waiting = [asyncio.create_task(use(name)) for name in ("first", "second", "third")]
        await asyncio.sleep(0.1)
    late = asyncio.create_task(use("late"))  # it comes at the moment in which the place is free
    await asyncio.gather(*waiting, late)
    assert served == ["first", "second", "third", "late"]


async def test_who_waits_no_longer_leaves_his_turn_to_others() -> None:
    places, served = ServerPlaces(1), list[str]()

    async def use(name: str) -> None:
        async with places.held():
            served.append(name)

    async with places.held():
        waiting = [asyncio.create_task(use(name)) for name in ("first", "second")]
        await asyncio.sleep(0.1)
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
    await waiting[1]
    assert served == ["second"]

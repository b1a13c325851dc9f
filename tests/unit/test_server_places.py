"""The turns in which places for sessions on one server are given."""

from __future__ import annotations

import asyncio

from exporter.database.server_places import ServerPlaces


async def _use(places: ServerPlaces, name: str, served: list[str]) -> None:
    async with places.held():
        served.append(name)


async def test_first_come_is_first_served_and_a_newcomer_passes_nobody_over() -> None:
    places, served = ServerPlaces(1), list[str]()
    async with places.held():
        names = ("first", "second", "third")
        waiting = [asyncio.create_task(_use(places, name, served)) for name in names]
        await asyncio.sleep(0.1)
    # It comes at the moment at which the place is free.
    late = asyncio.create_task(_use(places, "late", served))
    await asyncio.gather(*waiting, late)
    assert served == [*names, "late"]


async def test_who_waits_no_longer_leaves_his_turn_to_others() -> None:
    places, served = ServerPlaces(1), list[str]()
    async with places.held():
        first, second = (
            asyncio.create_task(_use(places, name, served)) for name in ("first", "second")
        )
        await asyncio.sleep(0.1)
        first.cancel()
        await asyncio.wait([first])
    await second
    assert served == ["second"]

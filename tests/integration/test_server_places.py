"""The bound for all sessions on one server: nobody is passed over, or waits for a dead one."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import psycopg
import pytest

from exporter.database.database import Database
from exporter.database.server_places import ServerPlaces
from exporter.database.transaction import Question
from tests.support.marks import only_18

if TYPE_CHECKING:
    from tests.support.loom_database import LoomDatabase

pytestmark = only_18

DATABASES = 4
ONE = Question("SELECT 1", 5.0)


def _databases(loom: LoomDatabase, places: ServerPlaces) -> list[Database]:
    return [Database(f"tenant_{number}", loom.dsn, places=places) for number in range(DATABASES)]


@pytest.fixture
def one_place() -> ServerPlaces:
    """Return places for one session, which does not rest for long."""
    places = ServerPlaces(1)
    places.is_crowded = True
    return places


async def test_first_come_is_first_served(loom: LoomDatabase, one_place: ServerPlaces) -> None:
    served: list[str] = []

    async def ask(database: Database) -> None:
        await database.ask(ONE)
        served.append(database.name)

    async with AsyncExitStack() as stack:
        databases = _databases(loom, one_place)
        for each in databases:
            await stack.enter_async_context(each)
        await asyncio.gather(*map(ask, databases))
    assert served == [each.name for each in databases]


async def test_place_of_a_session_that_the_server_ended_is_given_away(
    loom: LoomDatabase, one_place: ServerPlaces
) -> None:
    first, second, *_ = _databases(loom, one_place)
    async with first, second:
        await first.ask(ONE)
        began = time.monotonic()
        with psycopg.connect(loom.dsn(), autocommit=True) as superuser:
            superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'loom-exporter'"
            )
        await second.ask(ONE)
        assert time.monotonic() - began < 60.0
        await first.ask(ONE)


async def test_place_that_is_waited_for_is_not_taken_by_one_that_is_closed(
    loom: LoomDatabase, one_place: ServerPlaces
) -> None:
    first, second, third, *_ = _databases(loom, one_place)
    async with first, third:
        await first.open()
        await second.open()
        holding = asyncio.create_task(first.ask(Question("SELECT pg_sleep(1)", 5.0)))
        await asyncio.sleep(0.3)
        waiting = asyncio.create_task(second.ask(ONE))
        await asyncio.sleep(0.1)
        await second.close()
        await third.ask(ONE)
        await holding
        with pytest.raises(Exception, match="stopping"):
            await waiting

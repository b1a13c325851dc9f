"""The bound for all sessions on one server, where several of its databases are watched."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest

from exporter.database.database import Database
from exporter.database.server_places import ServerPlaces
from exporter.database.transaction import Question
from exporter.run_state import RunError
from tests.support.marks import only_18
from tests.support.observers import HANG_SECONDS, until

if TYPE_CHECKING:
    from tests.support.loom_database import LoomDatabase

pytestmark = only_18

ONE = Question("SELECT 1", 20.0)
LONG = Question("SELECT pg_sleep(1000)", 2000.0)


@pytest.fixture
def one_place() -> ServerPlaces:
    """Return places for one session, which does not rest for long."""
    places = ServerPlaces(1)
    places.is_crowded = True
    return places


async def test_place_of_a_session_that_the_server_ended_is_given_away(
    loom: LoomDatabase, one_place: ServerPlaces
) -> None:
    async with (
        Database("first", loom.dsn, places=one_place) as first,
        Database("second", loom.dsn, places=one_place) as second,
    ):
        lost = asyncio.create_task(first.ask(LONG))
        await until("it is asked", lambda: first.status.busy)
        waiting = asyncio.create_task(second.ask(ONE))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        with psycopg.connect(loom.dsn(), autocommit=True) as superuser:
            superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'loom-exporter'"
            )
        async with asyncio.timeout(HANG_SECONDS):  # the question would take far longer
            await waiting
        with pytest.raises(RunError):
            await lost


async def test_database_that_is_closed_while_it_waits_connects_no_more(
    loom: LoomDatabase, one_place: ServerPlaces
) -> None:
    async with (
        Database("first", loom.dsn, places=one_place) as first,
        Database("third", loom.dsn, places=one_place) as third,
    ):
        second = Database("second", loom.dsn, places=one_place)
        await second.open()
        await first.ask(ONE)
        waiting = asyncio.create_task(second.ask(ONE))
        await asyncio.sleep(0.1)
        await second.close()
        await third.ask(ONE)
        with pytest.raises(RunError, match="stopping"):
            await waiting
        assert second.is_up is None, "it never had a session"


async def test_where_places_become_few_later_one_session_is_used(loom: LoomDatabase) -> None:
    places = ServerPlaces(40)
    async with Database("loom", loom.dsn, places=places) as database:

        async def most_at_once() -> int:
            asking = [
                asyncio.create_task(database.ask(Question("SELECT pg_sleep(1)", 20.0)))
                for _ in range(4)
            ]
            most = 0
            while not all(each.done() for each in asking):
                most = max(most, database.status.busy)
                await asyncio.sleep(0.01)
            await asyncio.gather(*asking)
            return most

        assert await most_at_once() == 2
        places.is_crowded = True
        assert await most_at_once() == 1
        places.is_crowded = False
        assert await most_at_once() == 2


async def test_session_of_probes_has_a_place_too(
    loom: LoomDatabase, one_place: ServerPlaces
) -> None:
    async with (
        Database("first", loom.dsn, places=one_place) as first,
        Database("second", loom.dsn, places=one_place) as second,
    ):
        await first.ask(ONE)
        async with first.room():
            waiting = asyncio.create_task(second.ask(ONE))
            await asyncio.sleep(0.3)
            assert not waiting.done()
        async with asyncio.timeout(HANG_SECONDS):
            await waiting

"""Two databases that take turns behind one connection string: each keeps what is its own."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from structlog.testing import capture_logs

from exporter.run_state import State
from tests.support.observers import HANG_SECONDS
from tests.support.watching import MONITOR, deploy, install_grants, watching

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.loom_database import LoomDatabase
    from tests.support.watching import Watch

PLACE = ("resource_library", "other")
REWRITTEN = "loom_deployment_history_rewritten_timestamp_seconds"


def swap(loom: LoomDatabase, other: str) -> None:
    """Let the database `other` answer to the name of the one of now, and give that one `other`."""
    names = [sql.Identifier(name) for name in ("loom", other, "between")]
    with psycopg.connect(loom.server.dsn(), autocommit=True) as superuser:
        for name in names[:2]:
            superuser.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        superuser.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = ANY (%s)",
            [["loom", other]],
        )
        for old, new in ((names[0], names[2]), (names[1], names[0]), (names[2], names[1])):
            superuser.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(old, new))
        for name in names[:2]:
            superuser.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))


def work(loom: LoomDatabase, times: int) -> None:
    """Call a statement so often, in the database that answers to the name."""
    with loom.connect("postgres") as owner:
        for _ in range(times):
            owner.execute("SELECT id FROM public.resource_collections LIMIT 3")


async def calls(watch: Watch) -> float:
    """Poll until that works, and return the calls of the statement."""
    seen = await watch.poll_in_peace()
    return seen.samples["loom_statement_calls_total"][PLACE]


async def verdict(watch: Watch) -> Mapping[str, Mapping[tuple[str, ...], float]]:
    """Run the queries until they work, judge, and return what that shows."""
    deadline = time.monotonic() + HANG_SECONDS
    while (seen := await watch.look("migrations")).state not in (State.OK, State.EMPTY):
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.1)
    await watch.look()
    await watch.judge()  # which finds out that the database is another one
    await watch.look()
    return (await watch.judge()).samples


async def test_databases_behind_one_name_lose_nothing_and_count_nothing_of_each_other(
    new_loom: LoomDatabase, tmp_path: Path
) -> None:
    install_grants(new_loom)
    with psycopg.connect(new_loom.server.dsn(), autocommit=True) as superuser:
        superuser.execute("CREATE DATABASE loom_b TEMPLATE loom OWNER postgres")
    swap(new_loom, "loom_b")
    work(new_loom, 500)  # nobody watches these, and they must not be counted as calls of the other
    deploy(new_loom, "healthy")
    swap(new_loom, "loom_b")
    state = tmp_path / "state.sqlite3"
    async with watching(new_loom.dsn(MONITOR), state=state) as watch:
        assert await calls(watch) == 0
        work(new_loom, 7)
        assert await calls(watch) == 7
        assert sum((await verdict(watch))["loom_deployment_timestamp_seconds"].values()) == 0
        with capture_logs() as logs:
            swap(new_loom, "loom_b")
            deployed = await verdict(watch)
            assert await calls(watch) == 0
            work(new_loom, 5)
            assert await calls(watch) == 5
            swap(new_loom, "loom_b")
            work(new_loom, 2)
            assert await calls(watch) == 7 + 2
            undeployed = await verdict(watch)
        told = [line for line in logs if "another database" in line["event"]]
        assert len(told) == 2
        assert (told[0]["before"], told[0]["now"]) == (told[1]["now"], told[1]["before"])
        for samples in (deployed, undeployed):
            assert samples[REWRITTEN] == {}, "no history was rewritten"
        assert watch.parts.verdict.assessment is not None
        assert watch.parts.verdict.assessment.deployed.has_begun is False
    async with watching(new_loom.dsn(MONITOR), state=state) as watch:
        work(new_loom, 1)
        assert await calls(watch) == 7 + 2 + 1

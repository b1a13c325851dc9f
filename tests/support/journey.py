"""A database that goes through its deployment, seen at each stage."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tests.support.loom_database import make_database
from tests.support.observers import follow
from tests.support.truth import Truth, truth_of
from tests.support.watching import MONITOR, deploy, install_grants, roll_back, watching

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.demo.postgres import PostgresServer
    from exporter.run_state import State
    from tests.support.loom_database import LoomDatabase
    from tests.support.watching import Series

Stage = Literal["before", "healthy", "rolled back", "published"]
STAGES: tuple[Stage, ...] = ("before", "healthy", "rolled back", "published")
DEPLOYED = ("healthy", "rolled back", "published")
WITH_VIEW = ("healthy", "published")


@dataclass(frozen=True)
class Seen:
    """One stage: what the exporter saw of it, and what anybody could see of it just before."""

    states: Mapping[str, State | None]
    series: Mapping[str, Series]
    log: str
    before: Truth
    after: Truth


def travel(server: PostgresServer) -> dict[Stage, Seen]:
    """Take a database through its deployment and back, another through the published one."""
    seen: dict[Stage, Seen] = {}
    loom = make_database(server)
    install_grants(loom)
    seen["before"] = _see(loom)
    deploy(loom, "healthy")
    seen["healthy"] = _see(loom)
    roll_back(loom)
    seen["rolled back"] = _see(loom)
    loom = make_database(server)
    install_grants(loom)
    deploy(loom, "published")
    seen["published"] = _see(loom)
    return seen


def _see(loom: LoomDatabase) -> Seen:
    before = truth_of(loom)
    log = follow(loom.server.log)

    async def run() -> tuple[dict[str, State | None], dict[str, Series]]:
        async with watching(loom.dsn(MONITOR)) as watch:
            await watch.look_in_peace()
            return watch.states(), watch.series()

    states, series = asyncio.run(run())
    return Seen(states, series, log(), before, truth_of(loom))

"""A database that is ready to be watched by the exporter as a process."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support.lives import Lives
from tests.support.outages import freeze_for_a_minute
from tests.support.plays import rehearsal
from tests.support.queries import make_folder, query_text
from tests.support.tools import require_postgres, require_tool
from tests.support.watching import install_grants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from exporter.demo.play import Scenario
    from exporter.demo.postgres import PostgresServer
    from tests.support.loom_database import LoomDatabase
    from tests.support.outages import Outages
    from tests.support.plays import Play, Rehearsal


@pytest.fixture(scope="session")
def server(_shared_server: Callable[[int], PostgresServer]) -> PostgresServer:
    """Return a running PostgreSQL 18 that is shared, so leave it running."""
    return _shared_server(18)


@pytest.fixture
def monitored(loom: LoomDatabase) -> LoomDatabase:
    """Return a database `loom` on the shared server, with the monitoring role installed."""
    install_grants(loom)
    return loom


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    """Return a folder with one query."""
    return make_folder(
        tmp_path / "queries", {"one.sql": query_text({"loom_one": {"value": "things"}})}
    )


@pytest.fixture
def lives(monitored: LoomDatabase, tmp_path: Path) -> Lives:
    """Return exporters whose hour takes 6 seconds, one after the other, on one state."""
    return Lives(monitored, tmp_path / "state", "6s")


@pytest.fixture(scope="session")
def minute_of_frost() -> Iterator[Future[Outages]]:
    """Let a server freeze in the background, from the first test that asks for this on.

    A test that has to wait anyway may ask for it too, so that the minute passes meanwhile.
    """
    enough = threading.Event()
    with ThreadPoolExecutor(1) as background:
        yield background.submit(freeze_for_a_minute, enough)
        enough.set()


@pytest.fixture(scope="session")
def rehearsed() -> Iterator[Rehearsal]:
    """Play every scenario of the demo, which takes minutes; those who watched can be asked."""
    require_postgres(18)
    require_tool("prometheus-alertmanager", "LOOM_TEST_PROMETHEUS_ALERTMANAGER")
    with rehearsal() as played:
        yield played


@pytest.fixture(scope="session")
def plays(rehearsed: Rehearsal) -> Mapping[Scenario, Play]:
    """Return what was seen of every scenario of the demo."""
    return rehearsed.plays

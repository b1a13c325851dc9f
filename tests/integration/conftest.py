"""Databases at the stages of their deployment, with the monitoring role and without."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from exporter.database.connection import CONNECTION_PARAMETERS
from tests.support.journey import STAGES, Seen, Stage, travel
from tests.support.truth import ask
from tests.support.watching import MONITOR, OWNER, PATIENCE_SECONDS, deploy, install_grants

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from exporter.demo.postgres import PostgresServer
    from tests.support.loom_database import LoomDatabase


_LIMITS = (
    "app.outline._TIMEOUT_SECONDS",
    "app.tenants._TIMEOUT_SECONDS",
    "database.connection.CONNECT_SECONDS",
    "database.database._GRACE_SECONDS",
    "database.facts._TIMEOUT_SECONDS",
    "database.names._TIMEOUT_SECONDS",
    "statements.poller._TIMEOUT_SECONDS",
    "statements.text_reader._TIMEOUT_SECONDS",
)
_DEADLINES = ("database.names._DEADLINE_SECONDS", "sources.inspection._DEADLINE_SECONDS")
"""After which a server is taken for dead that should have ended the question by its timeout."""


@contextlib.contextmanager
def _more_time() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in _LIMITS:
            patch.setattr(f"exporter.{name}", PATIENCE_SECONDS)
        for name in _DEADLINES:
            patch.setattr(f"exporter.{name}", 2 * PATIENCE_SECONDS)
        patch.setitem(CONNECTION_PARAMETERS, "connect_timeout", round(PATIENCE_SECONDS))
        yield


@pytest.fixture(scope="module", autouse=True)
def _patience() -> Iterator[None]:
    """Give the exporter's own questions more time, as `watching` gives to queries.

    Pauses of the pool stay as they are. A module about outages overrides this.
    """
    with _more_time():
        yield


@pytest.fixture(scope="session")
def journey(server: PostgresServer) -> dict[Stage, Seen]:
    """Return what was seen at each stage; one journey on each server serves all tests."""
    with _more_time():  # it is made before what a module has
        return travel(server)


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> Stage:
    """Return each stage in turn."""
    stage: Stage = request.param
    return stage


@pytest.fixture
def seen(journey: dict[Stage, Seen], stage: Stage) -> Seen:
    """Return what was seen at the stage."""
    return journey[stage]


@pytest.fixture
def watched(loom: LoomDatabase) -> LoomDatabase:
    """Return a database with the monitoring role, before the deployment."""
    install_grants(loom)
    return loom


@pytest.fixture
def deployed(watched: LoomDatabase) -> LoomDatabase:
    """Return a database with the monitoring role, after a deployment that went well."""
    deploy(watched, "healthy")
    return watched


@pytest.fixture
def bare(loom: LoomDatabase) -> LoomDatabase:
    """Return a database on a server that has never heard of the monitoring role."""
    with loom.connect() as connection:
        if ask(connection, "SELECT FROM pg_roles WHERE rolname = %s", MONITOR):
            connection.execute(f"DROP OWNED BY {MONITOR}; DROP ROLE {MONITOR}".encode())
    return loom


@pytest.fixture
def installed(bare: LoomDatabase) -> LoomDatabase:
    """Return a database with everything that grants install, before the deployment."""
    install_grants(bare)
    return bare


@pytest.fixture
def application(loom: LoomDatabase) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection of the application's, as the owner of everything."""
    with loom.connect(OWNER) as connection:
        yield connection


@pytest.fixture
def owner(loom: LoomDatabase) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection of the owner, with the table `public.probe` to play with."""
    with loom.connect(OWNER) as connection:
        connection.execute("CREATE TABLE public.probe (kind text, value float8)")
        yield connection

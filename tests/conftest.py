"""Servers and databases for tests. A server starts when the first test asks for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
import structlog

from exporter.demo.postgres import PostgresServer
from tests.support.loom_database import (
    LoomDatabase,
    make_database,
    make_database_with_cron,
    make_template,
)
from tests.support.tools import POSTGRES_VERSIONS, has_extension, missing, require_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Its VACUUM and ANALYZE change what tests count, and it visits a new database at any moment.
_NO_VISITS = {"autovacuum": "off"}
_STATEMENTS = {**_NO_VISITS, "shared_preload_libraries": "pg_stat_statements"}
_CRON = {
    **_NO_VISITS,
    "shared_preload_libraries": "pg_stat_statements,pg_cron",
    "cron.database_name": "loom",
    "cron.use_background_workers": "on",
}


class NewServer(Protocol):
    """Starts a server that belongs to one test, which may kill it or freeze it."""

    def __call__(
        self, version: int = 18, settings: Mapping[str, str] | None = None
    ) -> PostgresServer: ...


_GROUP_OF_FIXTURE = {
    "rehearsed": "rehearsal",
    "said": "rehearsal",
    "minute_of_frost": "frost",
    "journey": "journey",
}
"""Fixtures that take minutes, and the group of the tests that use them: each is made once.

Whatever plays applications at speed is in one group: two at a time slow each other down.
"""

_LONGEST_GROUPS = ("rehearsal", "frost", "test_lost_connections")
"""In the order in which they begin."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark tests by their folder, and with the group that `--dist loadgroup` runs in one process.

    xdist reads these marks in this hook too, to append `@group` to the ids of tests, so they are
    set before any other hook runs. xdist hands groups out in the order of the tests, so the tests
    are sorted after all other hooks: the longest groups first, tests without a group last.
    """
    for item in items:
        for folder in ("integration", "e2e"):
            if folder in item.path.parts:
                item.add_marker(folder)
                if _group(item) is None:
                    item.add_marker(pytest.mark.xdist_group(_default_group(item)))
    yield
    items.sort(key=lambda item: _turn(_group(item)))


def _group(item: pytest.Item) -> str | None:
    mark = item.get_closest_marker("xdist_group")
    return str(mark.args[0]) if mark else None


def _default_group(item: pytest.Item) -> str:
    """Return the group of a fixture that the test uses, else its file: these share servers."""
    fixtures = getattr(item, "fixturenames", ())
    groups = (group for fixture, group in _GROUP_OF_FIXTURE.items() if fixture in fixtures)
    return next(groups, item.path.stem)


def _turn(group: str | None) -> int:
    if group in _LONGEST_GROUPS:
        return _LONGEST_GROUPS.index(group)
    return len(_LONGEST_GROUPS) + (group is None)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Undo what a command that runs in this process makes of the log."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def _shared_server() -> Iterator[Callable[[int], PostgresServer]]:
    servers: dict[int, PostgresServer] = {}
    with contextlib.ExitStack() as stack:

        def get(version: int) -> PostgresServer:
            if version not in servers:
                bin_dir = require_postgres(version)
                server = stack.enter_context(_server(bin_dir, _STATEMENTS))
                make_template(server)
                servers[version] = server
            return servers[version]

        yield get


@pytest.fixture(scope="session", params=POSTGRES_VERSIONS, ids=lambda version: f"pg{version}")
def server(
    request: pytest.FixtureRequest, _shared_server: Callable[[int], PostgresServer]
) -> PostgresServer:
    """Return the running server of each version in turn; it is shared, so leave it running.

    For a single version: `@pytest.mark.parametrize("server", [18], indirect=True)`.
    """
    version: int = request.param
    return _shared_server(version)


@pytest.fixture
def loom(server: PostgresServer) -> LoomDatabase:
    """Return a database `loom` of one's own, as it is before the deployment."""
    loom = make_database(server)
    with loom.connect() as superuser:  # what other tests left would push out what this one counts
        superuser.execute("SELECT extensions.pg_stat_statements_reset()")
    return loom


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """Return a folder in which a server can run, whoever runs the tests."""
    with _folder() as folder:
        yield folder


@pytest.fixture
def new_server() -> Iterator[NewServer]:
    """Return a function that starts a server which is the test's own."""
    with contextlib.ExitStack() as stack:

        def start(version: int = 18, settings: Mapping[str, str] | None = None) -> PostgresServer:
            bin_dir = require_postgres(version)
            return stack.enter_context(_server(bin_dir, {**_STATEMENTS, **(settings or {})}))

        yield start


@pytest.fixture
def new_loom(new_server: NewServer) -> LoomDatabase:
    """Return a database `loom` on a PostgreSQL 18 of the test's own, to kill or to freeze."""
    server = new_server()
    make_template(server)
    return make_database(server)


@pytest.fixture
def cron_loom(new_server: NewServer) -> LoomDatabase:
    """Return a database `loom` with pg_cron at work, on a PostgreSQL 15 of the test's own."""
    if not has_extension(require_postgres(15), "pg_cron"):
        missing("pg_cron is not installed (Debian: postgresql-15-cron)")
    return make_database_with_cron(new_server(15, _CRON))


@pytest.fixture
async def skip_seconds(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that moves the clock of the event loop forward, which goes on by itself.

    So a limit of time can be so long that no process is held up for it, and be reached at once.
    """
    loop = asyncio.get_running_loop()
    real, skipped = loop.time, [0.0]
    monkeypatch.setattr(loop, "time", lambda: real() + skipped[0])

    def skip(seconds: float) -> None:
        skipped[0] += seconds

    return skip


@contextlib.contextmanager
def _server(bin_dir: Path, settings: Mapping[str, str]) -> Iterator[PostgresServer]:
    with _folder() as folder, PostgresServer(bin_dir, folder, settings=settings) as server:
        yield server


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    # Not pytest's own temporary folder, which root keeps closed to the account of the server.
    with tempfile.TemporaryDirectory(prefix="loom-test-") as folder:
        yield Path(folder)

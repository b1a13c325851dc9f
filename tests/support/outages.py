"""A daemon on a server that is to fail it, and those who watch what becomes of its promises."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.database.connection import CONNECT_SECONDS
from exporter.database.database import MAX_CONNECTIONS
from exporter.database.roles import ROLE
from exporter.demo.postgres import PostgresServer
from tests.support.daemon import Daemon
from tests.support.loom_database import LoomDatabase, make_database, make_template
from tests.support.observers import HANG_SECONDS, Sampler, Scraper, Sockets, eventually
from tests.support.tools import require_postgres
from tests.support.watching import install_grants

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

UP = 'loom_database_up{database="loom"}'
INTERVAL_SECONDS = 1.0

NOTICED_SECONDS = 2 * CONNECT_SECONDS + INTERVAL_SECONDS
"""A query comes once in an interval. What tells of a silent server is its deadline, or that of an
attempt to connect; and a server that is known to be down is tried once in that time."""

OUR_SESSIONS = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{ROLE}'"


@dataclass
class Outages:
    """What was seen of one daemon and its server."""

    daemon: Daemon
    scraper: Scraper
    sessions: Sampler
    sockets: Sockets

    def until_up(self, up: bool, *, within_seconds: float = HANG_SECONDS) -> None:
        """Wait until the daemon says so."""
        eventually(
            f"loom_database_up is {up:d}",
            lambda: self.daemon.page().value("loom_database_up") == up,
            within_seconds=within_seconds,
        )

    def until_all_is_well(self) -> None:
        """Wait until no query fails, and each that comes at every interval has a new answer."""
        now = time.time()

        def all_well() -> bool:
            page = self.daemon.page()
            intervals = page.series("loom_exporter_query_interval_seconds")
            successes = page.series("loom_exporter_query_last_success_timestamp_seconds")
            states = set(page.states.values())
            return states == {"ok", "empty", "absent", "unconfigured"} and all(
                success > now
                for labels, success in successes.items()
                if intervals[labels] == INTERVAL_SECONDS
                and page.states[dict(labels)["query"]] != "absent"
            )

        eventually("every query has an answer", all_well)

    def assert_promises_kept(self, *, outages: int) -> None:
        """Fail unless /metrics answered, was up as often as the server, and we were two at most."""
        self.scraper.assert_always_answered()
        told = [value for value, _ in groupby(value for _, value in self.scraper.values(UP))]
        if told[0] == 0:  # as it is until the first answer
            told.pop(0)
        assert told == [1, *(0, 1) * outages]
        assert max(count for (count,) in self.sessions.rows()) == MAX_CONNECTIONS
        assert max(self.sockets.counts) == MAX_CONNECTIONS


@contextmanager
def watching_outages(loom: LoomDatabase) -> Iterator[Outages]:
    """Watch a daemon with the shipped queries while the caller does things to its server."""
    with (
        Daemon(loom.dsn(ROLE), env={"LOOM_EXPORTER_MAX_INTERVAL": "1s"}) as daemon,
        Scraper(daemon.port, UP) as scraper,
        Sampler(loom.dsn(), OUR_SESSIONS) as sessions,
        Sockets(daemon.process.pid, loom.server.port) as sockets,
    ):
        yield Outages(daemon, scraper, sessions, sockets)


def freeze_for_a_minute(enough: threading.Event) -> Outages:
    """Let a server of its own stand still for a minute, or until `enough` is set."""
    settings = {"shared_preload_libraries": "pg_stat_statements"}
    with (
        tempfile.TemporaryDirectory(prefix="loom-test-") as folder,
        PostgresServer(require_postgres(18), Path(folder), settings=settings) as server,
    ):
        make_template(server)
        loom = make_database(server)
        install_grants(loom)
        with watching_outages(loom) as outages:
            outages.daemon.wait_until_ready()
            outages.until_up(True)
            frozen_at = time.monotonic()
            server.freeze()
            try:
                outages.until_up(False)
                while time.monotonic() < frozen_at + 60 and not enough.wait(1.0):
                    assert outages.daemon.get("/-/healthy").status == 200
                    assert outages.daemon.get("/-/ready").status == 200
            finally:
                server.thaw()
            if not enough.is_set():
                # After a long silence it is tried less often: an attempt may leave a session.
                outages.until_up(True)
                outages.until_all_is_well()
    return outages

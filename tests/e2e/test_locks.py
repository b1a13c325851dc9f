"""A migration holds a table, or waits for one: we neither wait long nor hold it up."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from exporter.catalog import load_catalog
from exporter.database.roles import ROLE
from exporter.database.transaction import LOCK_TIMEOUT_SECONDS
from tests.support.daemon import Daemon, Page
from tests.support.observers import HANG_SECONDS, Sampler, Scraper, eventually
from tests.support.queries import make_folder, query_text
from tests.support.watching import OWNER, install_grants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import psycopg

    from tests.support.loom_database import LoomDatabase

LOCKED_SECONDS = 30.0
ROUNDS = 5

SLACK_SECONDS = 0.5
"""What the machine may add to a lock_timeout of a quarter of a second. Without that timeout the
wait would end with the statement, after a second or more."""

OUR_WAITS = f"""
SELECT extract(epoch FROM clock_timestamp() - l.waitstart)::float
  FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
 WHERE a.usename = '{ROLE}' AND NOT l.granted AND l.waitstart IS NOT NULL
"""

READERS = ("mfa_users", "mfa_discrepancies")
"""Two of the queries that read the table `users`."""


@pytest.mark.usefixtures("minute_of_frost")  # half of which passes meanwhile
def test_table_that_is_locked_for_half_a_minute(new_loom: LoomDatabase) -> None:
    """/metrics answers, the state is `locked`, values stay, and other queries go on."""
    install_grants(new_loom)
    with (
        Daemon(new_loom.dsn(ROLE), env={"LOOM_EXPORTER_MAX_INTERVAL": "3s"}) as daemon,
        Scraper(daemon.port) as scraper,
    ):
        _until_states(daemon, "ok", (*READERS, "tables"))
        before = daemon.page()
        with _holding(new_loom):
            locked_at = time.time()
            _until_states(daemon, "locked")
            locked = daemon.page()
            while time.time() < locked_at + LOCKED_SECONDS:
                # A run that is held up ends otherwise once, and keeps the values all the same.
                _until_states(daemon, "locked")
                page = daemon.page()
                time.sleep(0.5)
        for metric in ("loom_users", "loom_mfa_flag_unset_users", "loom_mfa_discrepancies"):
            assert page.series(metric) == before.series(metric) != {}, metric
        for query in READERS:
            # A run that ended just before the lock may be noted just after it.
            last = _last_success(page, query)
            assert last == _last_success(locked, query) < locked_at + LOCKED_SECONDS / 2
        # What needs nothing of that table has gone on meanwhile.
        assert _last_success(page, "tables") > _last_success(locked, "tables")
        assert page.value("loom_database_up") == 1
        _until_states(daemon, "ok")
        assert _last_success(daemon.page(), READERS[0]) > locked_at + LOCKED_SECONDS
    scraper.assert_always_answered()


@pytest.mark.timing
def test_no_query_of_ours_waits_long_for_a_lock_or_delays_a_migration(
    new_loom: LoomDatabase,
) -> None:
    install_grants(new_loom)
    without_us = [_migration_delay(new_loom) for _ in range(ROUNDS)]
    with (
        Daemon(new_loom.dsn(ROLE), env={"LOOM_EXPORTER_MAX_INTERVAL": "3s"}) as daemon,
        Sampler(new_loom.dsn(), OUR_WAITS, every_seconds=0.005) as waits,
        Scraper(daemon.port) as scraper,
    ):
        daemon.wait_until_ready()
        with _holding(new_loom):
            time.sleep(LOCKED_SECONDS / 3)
        with_us = [
            _migration_delay(new_loom, meanwhile=lambda watcher: _waits(watcher, ROLE))
            for _ in range(ROUNDS)
        ]
    seconds = [wait for (wait,) in waits.rows()]
    assert len(seconds) > 100, "we were hardly seen to wait"
    assert max(seconds) < LOCK_TIMEOUT_SECONDS + SLACK_SECONDS
    assert max(with_us) - median(without_us) < 1.0, (with_us, without_us)
    scraper.assert_always_fast()


@pytest.mark.timing
def test_migration_waits_for_a_query_that_takes_too_long_no_longer_than_its_timeout(
    monitored: LoomDatabase, tmp_path: Path
) -> None:
    """As soon as a query of ours holds the table, a migration comes."""
    slow = query_text(
        {"loom_slow": {"value": "slow"}},
        sql="SELECT count(*) AS slow FROM public.users, pg_sleep(30)",
        access="definer",
    )
    queries = make_folder(tmp_path / "queries", {"slow.sql": slow})
    install_grants(monitored, load_catalog(queries))
    with (
        monitored.connect() as watcher,
        Daemon(monitored.dsn(ROLE), "--queries", str(queries)) as daemon,
    ):
        eventually("we read the table", lambda: _reads(watcher))
        started = time.monotonic()
        _migrate(monitored)
        assert time.monotonic() - started < 1.0 + SLACK_SECONDS
        eventually(
            "the query's state is timeout", lambda: daemon.page().states.get("slow") == "timeout"
        )


def _until_states(daemon: Daemon, state: str, queries: Sequence[str] = READERS) -> None:
    eventually(
        f"the state of {queries} is {state}",
        lambda: {daemon.page().states.get(query) for query in queries} == {state},
    )


def _last_success(page: Page, query: str) -> float:
    value = page.value("loom_exporter_query_last_success_timestamp_seconds", query=query)
    assert value is not None, query
    return value


@contextmanager
def _holding(loom: LoomDatabase) -> Iterator[None]:
    with loom.connect(OWNER) as connection, connection.transaction():
        connection.execute("LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE")
        yield


def _migrate(loom: LoomDatabase) -> None:
    with loom.connect(OWNER) as connection:
        connection.execute("ALTER TABLE public.users ADD COLUMN IF NOT EXISTS added integer")


def _migration_delay(
    loom: LoomDatabase, *, meanwhile: Callable[[psycopg.Connection[Any]], bool] | None = None
) -> float:
    """Return the seconds from the end of somebody's lock until a migration behind it is through.

    Args:
        loom: the database.
        meanwhile: asked until it is true, while the lock is held and the migration not yet there.
    """
    ended: list[float] = []

    def migrate() -> None:
        _migrate(loom)
        ended.append(time.monotonic())

    migration = threading.Thread(target=migrate)
    with loom.connect() as watcher:
        with _holding(loom):
            if meanwhile:
                eventually("we wait", lambda: meanwhile(watcher))
            migration.start()
            eventually("the migration waits", lambda: _waits(watcher, OWNER))
            released = time.monotonic()
        migration.join(HANG_SECONDS)
    return ended[0] - released


def _waits(watcher: psycopg.Connection[Any], role: str) -> bool:
    found = watcher.execute(
        "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE usename = %s AND NOT granted",
        [role],
    )
    return found.rowcount > 0


def _reads(watcher: psycopg.Connection[Any]) -> bool:
    found = watcher.execute(
        "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE usename = %s AND granted AND relation = 'public.users'::regclass",
        [ROLE],
    )
    return found.rowcount > 0

"""The daemon is told to end: it does so in order and in time, whatever the database does."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from exporter.database.roles import ROLE
from tests.support.daemon import Daemon, Page
from tests.support.observers import HANG_SECONDS, eventually
from tests.support.queries import make_folder, query_text
from tests.support.watching import install_grants

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from tests.support.loom_database import LoomDatabase

ENOUGH_SECONDS = 6.0
"""A pod has thirty seconds, a person at a terminal has less."""

QUERY_SECONDS = 50.0
"""The time of a query that nobody waits for."""

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def slow_queries(tmp_path: Path) -> Path:
    """Return a folder with one query, which takes `QUERY_SECONDS`."""
    slow = query_text(
        {"loom_slow": {"value": "slow"}},
        sql=f"SELECT 1 AS slow FROM pg_sleep({QUERY_SECONDS})",
        timeout="60s",
        interval="5m",
    )
    return make_folder(tmp_path / "queries", {"slow.sql": slow})


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_cancels_a_long_query(
    monitored: LoomDatabase, slow_queries: Path, number: signal.Signals
) -> None:
    with (
        monitored.connect() as watcher,
        Daemon(monitored.dsn(ROLE), "--queries", str(slow_queries)) as daemon,
    ):
        eventually("the query runs", lambda: _slow_queries(watcher) == 1)
        seconds = daemon.stop(number)
        assert seconds < QUERY_SECONDS / 2
        # The cancel is on its way; in that time the query would not have ended by itself.
        eventually(
            "the query is cancelled",
            lambda: _slow_queries(watcher) == 0,
            within_seconds=QUERY_SECONDS / 2 - seconds,
        )
        assert daemon.process.returncode == 0
        assert "stopped" in daemon.stderr
        assert "Traceback" not in daemon.stderr


@pytest.mark.timing
def test_frozen_server_does_not_keep_the_daemon(new_loom: LoomDatabase, slow_queries: Path) -> None:
    """It takes a while to give it up; till then /metrics answers. Another signal ends that, too."""
    install_grants(new_loom)
    with (
        Daemon(new_loom.dsn(ROLE), env={"LOOM_EXPORTER_MAX_INTERVAL": "1s"}) as daemon,
        Daemon(new_loom.dsn(ROLE), "--queries", str(slow_queries)) as slow_daemon,
    ):
        daemon.wait_until_ready()
        with new_loom.connect() as watcher:
            eventually("the query runs", lambda: _slow_queries(watcher) == 1)
        new_loom.server.freeze()
        eventually("a query hangs", lambda: _busy_connections(daemon))
        assert daemon.get("/-/ready").status == 200
        started = time.monotonic()
        for each in (daemon, slow_daemon):
            each.process.send_signal(signal.SIGTERM)
        _until_it_says_not_ready(daemon)
        assert _busy_connections(daemon)
        assert daemon.get("/-/healthy").status == 200
        for each in (daemon, slow_daemon):
            assert each.process.wait(HANG_SECONDS) == 0
            assert time.monotonic() - started < ENOUGH_SECONDS
            assert "Traceback" not in each.stderr
    for number in SIGNALS:
        with Daemon(new_loom.dsn(ROLE)) as daemon:
            daemon.process.send_signal(number)
            _until_it_says_not_ready(daemon)
            assert daemon.stop(number) < 1.0
            assert daemon.process.returncode == -number
            assert "Traceback" not in daemon.stderr


def test_run_that_is_cut_off_in_the_end_is_no_error(new_loom: LoomDatabase, tmp_path: Path) -> None:
    install_grants(new_loom)
    slow = query_text(
        {"loom_slow": {"value": "slow"}},
        sql="SELECT 1 AS slow FROM pg_sleep(2)",
        timeout="20s",
        interval="21s",
    )
    folder = make_folder(tmp_path / "queries", {"slow.sql": slow})
    arguments = ("--queries", str(folder))
    hurried = {"LOOM_EXPORTER_MAX_INTERVAL": "3s"}
    with Daemon(new_loom.dsn(ROLE), *arguments, env=hurried) as daemon:
        daemon.wait_until_ready()  # from now on, it runs by the schedule
        eventually("it runs again", lambda: _busy_connections(daemon))
        new_loom.server.freeze()
        daemon.stop()
        assert daemon.process.returncode == 0
        assert "stopped" in daemon.stderr
        assert "Traceback" not in daemon.stderr


@pytest.mark.parametrize("seconds_after_start", [0.0, 0.2, 0.4, 0.6])
def test_signal_ends_a_daemon_that_only_begins(
    monitored: LoomDatabase, seconds_after_start: float
) -> None:
    with Daemon(monitored.dsn(ROLE), wait=False) as daemon:
        time.sleep(seconds_after_start)
        daemon.stop()
        assert daemon.process.returncode in (0, -signal.SIGTERM)
        assert "Traceback" not in daemon.stderr


def _slow_queries(watcher: psycopg.Connection[Any]) -> int:
    return watcher.execute(
        "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%%pg_sleep(50%%'"
        " AND usename = %s",
        [ROLE],
    ).rowcount


def _busy_connections(daemon: Daemon) -> float | None:
    # A page for some names only is made anew, where a whole one may be some seconds old.
    name = "loom_exporter_pool_connections"
    return Page(daemon.get(f"/metrics?name[]={name}").body).value(name, state="busy")


def _until_it_says_not_ready(daemon: Daemon) -> None:
    # It is not ready before its first cycle either.
    eventually(
        "it stops and is not ready",
        lambda: "stopping" in daemon.stderr and daemon.get("/-/ready").status == 503,
    )

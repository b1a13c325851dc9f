"""What the daemon has counted outlives it, however it ends."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.support.daemon import Daemon
from tests.support.observers import eventually
from tests.support.watching import MONITOR

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.loom_database import LoomDatabase

QUERY = "SELECT count(*) FROM public.security_audit_log"


def test_counters_go_on_after_a_daemon_that_was_killed(
    monitored: LoomDatabase, tmp_path: Path
) -> None:
    env = {
        "LOOM_EXPORTER_STATE_DIR": str(tmp_path / "state"),
        "LOOM_EXPORTER_MAX_INTERVAL": "2s",
    }
    with Daemon(monitored.dsn(MONITOR), env=env) as daemon:
        eventually("it is polled", lambda: _calls(daemon) == 0)
        _call(monitored, 5)
        eventually("they are counted", lambda: _calls(daemon) == 5)
        daemon.stop(signal.SIGKILL)
    _call(monitored, 3)
    with Daemon(monitored.dsn(MONITOR), env=env) as daemon:
        eventually("there are more", lambda: _calls(daemon) is not None)
        assert _calls(daemon) == 8
        page = daemon.page()
        assert page.states["pg_stat_statements"] == "ok"
        assert page.value("loom_exporter_query_interval_seconds", query="pg_stat_statements") == 2


def _call(loom: LoomDatabase, times: int) -> None:
    with loom.connect("postgres") as application:
        for _ in range(times):
            application.execute(QUERY.encode())


def _calls(daemon: Daemon) -> float | None:
    return daemon.page().total("loom_statement_calls_total", **{"class": "audit_log"})

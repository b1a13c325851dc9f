"""A connection string that is rotated in its file is used without a restart, and told nowhere."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from psycopg import sql

from exporter.database.roles import ROLE
from tests.support.daemon import Daemon, Page
from tests.support.observers import HANG_SECONDS, eventually
from tests.support.passwords import OTHER_PASSWORD, PASSWORD, fragments_in, set_password, until_up

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.loom_database import LoomDatabase

NEXT_ROLE = f"{ROLE}_next"
FAILURES = "loom_exporter_query_failures_total"


def test_rotated_password_needs_no_restart(monitored: LoomDatabase) -> None:
    set_password(monitored, PASSWORD)
    with Daemon(monitored.dsn(ROLE, PASSWORD), env={"LOOM_EXPORTER_MAX_INTERVAL": "1s"}) as daemon:
        until_up(daemon, 1)
        set_password(monitored, OTHER_PASSWORD)
        _end_sessions(monitored)
        until_up(daemon, 0)
        daemon.url_file.write_text(monitored.dsn(ROLE, OTHER_PASSWORD))
        until_up(daemon, 1)
        assert OTHER_PASSWORD not in daemon.stderr
        assert fragments_in(daemon.stderr) == set()


def test_broken_file_leaves_the_last_good_one_in_force(
    monitored: LoomDatabase, queries: Path
) -> None:
    set_password(monitored, PASSWORD)
    dsn = monitored.dsn(ROLE, PASSWORD)
    env = {"LOOM_EXPORTER_MAX_INTERVAL": "1s", "LOOM_EXPORTER_QUERIES": str(queries)}
    with Daemon(dsn, env=env) as daemon:
        until_up(daemon, 1)
        assert _is_in_force(daemon)
        for broken in (dsn[: dsn.rindex("@")], ""):
            daemon.url_file.write_text(broken)
            _end_sessions(monitored)
            eventually("it is told", lambda: not _is_in_force(daemon))
            _until_connected(monitored)
            until_up(daemon, 1)
            daemon.url_file.write_text(dsn)
            _end_sessions(monitored)
            eventually("it is mended", lambda: _is_in_force(daemon))
            until_up(daemon, 1)
        assert f"{daemon.url_file}: the port is not a number" in daemon.stderr
        assert f"{daemon.url_file}: is empty" in daemon.stderr
        assert fragments_in(daemon.stderr) == set()
        assert "Traceback" not in daemon.stderr


def test_next_connection_uses_the_rotated_file_and_no_query_fails(
    monitored: LoomDatabase, queries: Path
) -> None:
    """The old way in and the new one are both open for a while, as is good practice."""
    with monitored.connect() as owner:
        owner.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
                sql.Identifier(NEXT_ROLE), sql.Literal(OTHER_PASSWORD), sql.Identifier(ROLE)
            )
        )
    set_password(monitored, PASSWORD)
    env = {"LOOM_EXPORTER_MAX_INTERVAL": "1s", "LOOM_EXPORTER_QUERIES": str(queries)}
    try:
        with Daemon(monitored.dsn(ROLE, PASSWORD), env=env) as daemon:
            until_up(daemon, 1)
            assert _roles_of_sessions(monitored) == {ROLE}
            new = daemon.url_file.with_suffix(".new")
            new.write_text(monitored.dsn(NEXT_ROLE, OTHER_PASSWORD))
            new.rename(daemon.url_file)
            eventually("the next connection uses it", lambda: _only_next_role(daemon, monitored))
            runs = daemon.page().value("loom_exporter_query_runs_total", query="one")
            assert runs is not None
            eventually(
                "the query runs on",
                lambda: (
                    (daemon.page().value("loom_exporter_query_runs_total", query="one") or 0) > runs
                ),
            )
            page = daemon.page()
            # What a busy machine holds up is no matter of who logs in.
            timeouts = page.total(FAILURES, state="timeout")
            assert page.total(FAILURES) == timeouts is not None
            assert page.value("loom_database_up") == 1
            assert OTHER_PASSWORD not in daemon.stderr
    finally:
        with monitored.connect() as owner:
            owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(NEXT_ROLE)))


def _is_in_force(daemon: Daemon) -> bool:
    """Return whether the connection string is the one that its file holds now."""
    name = "loom_exporter_config_last_reload_successful"
    # A page for some names only is made anew, where a whole one may be some seconds old.
    page = Page(daemon.get(f"/metrics?name[]={name}").body)
    return page.value(name, what="database_url") == 1


def _until_connected(loom: LoomDatabase) -> None:
    eventually("it connects", lambda: _roles_of_sessions(loom) == {ROLE})


def _only_next_role(daemon: Daemon, loom: LoomDatabase) -> bool:
    """Return whether the new role has all sessions; if not, end those of the old one."""
    roles = _roles_of_sessions(loom)
    if ROLE in roles:
        _end_idle_sessions(daemon, loom)
    return roles == {NEXT_ROLE}


def _end_idle_sessions(daemon: Daemon, loom: LoomDatabase) -> None:
    """End all sessions of the old role, unless one of them is at a query.

    The daemon stands still meanwhile, or it could send a query to one that is about to end.
    """
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(0.5)  # what was sent before that is read by now
        if all(state == "idle" for role, state in _sessions(loom) if role == ROLE):
            _end_sessions(loom)
    finally:
        daemon.process.send_signal(signal.SIGCONT)


def _end_sessions(loom: LoomDatabase) -> None:
    """End the sessions of the old role, and wait until they are gone."""
    with loom.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE usename = %s",
            [round(HANG_SECONDS * 1000), ROLE],
        )


def _roles_of_sessions(loom: LoomDatabase) -> set[str]:
    return {role for role, _ in _sessions(loom)}


def _sessions(loom: LoomDatabase) -> list[tuple[str, str]]:
    """Return role and state of each session of the daemon."""
    with loom.connect() as connection:
        return connection.execute(
            "SELECT usename, state FROM pg_stat_activity WHERE application_name = 'loom-exporter'"
        ).fetchall()

"""The baseline from its first hour to long after the deployment, whatever befalls the daemon."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from exporter.baseline.codec import loads
from tests.support.daemon import command
from tests.support.lives import CALLS, MATCHED, PLACE, Application, Lives, baseline_is, has_polled
from tests.support.loom_database import make_database, make_template
from tests.support.observers import Scraper, eventually
from tests.support.shipped_queries import DEPLOYMENT
from tests.support.watching import deploy, install_grants

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import NewServer
    from tests.support.daemon import Daemon, Page
    from tests.support.loom_database import LoomDatabase

HISTORY = "supabase_migrations.schema_migrations"


def test_kills_cost_no_call_no_baseline_and_no_sign_off(
    monitored: LoomDatabase, lives: Lives
) -> None:
    with lives.daemon() as daemon:
        eventually("it is polled", lambda: has_polled(daemon))
        daemon.stop(signal.SIGKILL)
    with Application(monitored) as application:
        lives.learn()
        for _ in range(4):
            lives.live(5.0)
        # Of the hour before a deployment nothing is remembered.
        eventually(
            "what was learnt is of an earlier hour",
            lambda: lives.learnt(until=time.time() - lives.hour_seconds),
        )
        deploy(monitored, "healthy")
        for _ in range(2):  # one of them may be about to freeze the baseline
            lives.live(1.5)
        with lives.daemon() as daemon:
            eventually("it is polled", lambda: has_polled(daemon))
            eventually("it is frozen", lambda: baseline_is(daemon, "frozen"))
            frozen = lives.document
            unmatched, uncompared = _unmatched(lives.look(daemon)), lives.uncompared
            told = command("sign-off", "no_critical_bugs", "--by", "Ada", env=lives.env)
            daemon.stop(signal.SIGKILL)
        assert told.returncode == 0, told.stderr
        for _ in range(3):
            lives.live(4.0)
            assert lives.document == frozen
    with lives.daemon() as daemon:
        page = eventually(
            "every call is counted, and none twice",
            lambda: _with_calls(lives.look(daemon), application.calls),
        )
    assert page
    assert lives.document == frozen
    assert "approved by Ada" in command("report", env=lives.env).stdout
    remembered = sum(
        each.calls
        for each in loads(frozen).classes
        if (("class", each.class_name), ("role", each.role)) == PLACE
    )
    assert 0 < remembered <= unmatched, "a call is of before or of after, never of both"
    # As a rule one poll a kill: it is the verdict that reads the baseline, after the first poll.
    assert _unmatched(page) - unmatched <= lives.uncompared - uncompared, "all else is compared"


def _with_calls(page: Page, calls: int) -> Page | None:
    is_complete = page.value(CALLS, **dict(PLACE)) == calls
    return page if is_complete and page.value(MATCHED, **dict(PLACE)) is not None else None


def _unmatched(page: Page) -> float:
    """Return how many calls are counted that are not held against the baseline."""
    called = page.value(CALLS, **dict(PLACE))
    assert called is not None
    return called - (page.value(MATCHED, **dict(PLACE)) or 0.0)


def test_rewritten_history_is_no_new_deployment_but_a_rollout_begins_the_warm_up_anew(
    new_server: NewServer, tmp_path: Path
) -> None:
    """With commit times on, where the rewritten rows look as if they were new."""
    server = new_server(settings={"track_commit_timestamp": "on"})
    make_template(server)
    loom = make_database(server)
    install_grants(loom)
    lives = Lives(loom, tmp_path / "state", "60s")  # and 30 s of warm-up, in which to look
    with lives.daemon() as daemon:
        eventually("nothing is applied", lambda: _warmup(daemon) == 0)
        deploy(loom, "healthy")
        eventually("it warms up", lambda: _warmup(daemon) == 1)
        eventually("it is warm", lambda: _warmup(daemon) == 0)
        applied = daemon.page().series("loom_deployment_timestamp_seconds")
        assert len(applied) == len(DEPLOYMENT.phases)
        with Scraper(daemon.port, "loom_deployment_", every_seconds=0.2) as scraper:
            with loom.connect() as connection:
                rows = connection.execute(f"SELECT version, name FROM {HISTORY}").fetchall()
                connection.execute(f"DELETE FROM {HISTORY}")
                eventually("it is noticed", lambda: _rewritten(daemon))
                for row in rows:
                    connection.execute(
                        f"INSERT INTO {HISTORY} (version, name) VALUES (%s, %s)", row
                    )
            eventually("they are back", lambda: _applied(daemon) == 3)
            judged = _verdicts(daemon)
            eventually("that is judged", lambda: _verdicts(daemon) > judged + 1)
        assert {
            value for _, value in scraper.values('loom_deployment_warmup_active{database="loom"}')
        } == {0.0}
        assert daemon.page().series("loom_deployment_timestamp_seconds") == applied
        assert command("deploy", "mark", "--at", "now", env=lives.env).returncode == 0
        eventually("it warms up again", lambda: _warmup(daemon) == 1)
        assert daemon.page().series("loom_deployment_timestamp_seconds") == applied


def _warmup(daemon: Daemon) -> float | None:
    return daemon.page().value("loom_deployment_warmup_active")


def _rewritten(daemon: Daemon) -> float | None:
    return daemon.page().value("loom_deployment_history_rewritten_timestamp_seconds")


def _applied(daemon: Daemon) -> float | None:
    return daemon.page().total("loom_migration_applied")


def _verdicts(daemon: Daemon) -> float:
    return daemon.page().value("loom_exporter_query_runs_total", query="verdict") or 0.0

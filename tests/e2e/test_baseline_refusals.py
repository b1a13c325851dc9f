"""Baselines that are not to be trusted: refused with a reason, while everything else goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.baseline.codec import Refusal, dumps, loads
from tests.support.daemon import command
from tests.support.lives import PLACE, Application, baseline_is
from tests.support.observers import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.daemon import Daemon, Page
    from tests.support.lives import Lives
    from tests.support.loom_database import LoomDatabase


@pytest.fixture
def captured(monitored: LoomDatabase, lives: Lives) -> str:
    """Return a baseline of the database, and leave none in the state."""
    with Application(monitored) as application:
        eventually("there are calls", lambda: application.calls > 50)
    done = command("baseline", "capture", "--since-reset", env=lives.env)
    assert done.returncode == 0, done.stderr
    document = lives.document
    lives.write(None, of=document)
    return document


def test_baseline_that_cannot_be_trusted_is_refused_and_everything_else_goes_on(
    monitored: LoomDatabase, lives: Lives, captured: str
) -> None:
    others = {
        Refusal.TAMPERED: captured.replace('"calls":', '"calls":1', 1),
        Refusal.TRUNCATED: captured[: len(captured) // 2],
        Refusal.NEWER_VERSION: captured.replace("baseline/2", "baseline/3", 1),
        Refusal.OTHER_DATABASE: _foreign(captured),
    }
    with lives.daemon() as daemon:
        daemon.wait_until_ready()
        for reason, document in others.items():
            lives.write(document, of=captured)
            _assert_refused(daemon, reason)
            done = command("baseline", "show", env=lives.env)
            assert done.returncode == (4 if reason is Refusal.OTHER_DATABASE else 1)
            (line,) = done.stderr.splitlines()
            assert f"({reason})" in line
            assert done.stdout == ""
        eventually("everything else goes on", lambda: _goes_on(daemon.page()))
        assert daemon.get("/-/healthy").status == 200
        daemon.stop()
        assert daemon.process.returncode == 0
    with lives.daemon() as daemon:
        _assert_refused(daemon, Refusal.OTHER_DATABASE)


@pytest.mark.parametrize("fault", ["tampered", "truncated", "newer_version"])
def test_import_of_a_baseline_that_cannot_be_trusted_leaves_the_state_as_it_was(
    monitored: LoomDatabase, lives: Lives, captured: str, tmp_path: Path, fault: str
) -> None:
    file = tmp_path / "baseline.json"
    env = lives.env
    file.write_text(captured)
    assert command("baseline", "import", str(file), env=env).returncode == 0
    file.write_text(
        {
            "tampered": captured.replace('"calls":', '"calls":1', 1),
            "truncated": captured[: len(captured) // 2],
            "newer_version": captured.replace("baseline/2", "baseline/3", 1),
        }[fault]
    )
    done = command("baseline", "import", str(file), env=env)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"loom-exporter: {file}: ")
    assert f"({fault})" in line
    assert lives.document == captured


def test_baseline_of_another_database_is_taken_over_by_a_running_daemon_if_told_to(
    monitored: LoomDatabase, lives: Lives, captured: str, tmp_path: Path
) -> None:
    file = tmp_path / "foreign.json"
    file.write_text(_foreign(captured))
    env = lives.env
    with lives.daemon() as daemon:
        eventually("it collects", lambda: baseline_is(daemon, "collecting"))
        done = command("baseline", "import", str(file), env=env)
        assert done.returncode == 4
        (line,) = done.stderr.splitlines()
        assert "--allow-other-database" in line
        assert baseline_is(daemon, "collecting")
        done = command("baseline", "import", str(file), "--allow-other-database", env=env)
        assert done.returncode == 0, done.stderr
        eventually("it is taken up", lambda: baseline_is(daemon, "frozen"))
        calls = daemon.page().value("loom_baseline_calls", **dict(PLACE))
    assert calls
    assert calls > 50
    exported = tmp_path / "exported.json"
    assert command("baseline", "export", str(exported), env=env).returncode == 0
    assert loads(exported.read_text()).statements == loads(captured).statements
    assert exported.stat().st_mode & 0o777 == 0o600


def _foreign(document: str) -> str:
    """Return the same baseline, of another server."""
    baseline = loads(document)
    identity = baseline.identity.model_copy(update={"system_identifier": "7432109876543210987"})
    return dumps(baseline.model_copy(update={"identity": identity}))


def _goes_on(page: Page) -> bool:
    return page.value("loom_users") == 200 and page.states["pg_stat_statements"] == "ok"


def _assert_refused(daemon: Daemon, reason: Refusal) -> None:
    def is_refused() -> bool:
        return daemon.page().value("loom_baseline_refused", reason=reason) == 1.0

    eventually(f"{reason} is shown", is_refused)
    assert baseline_is(daemon, "refused")
    (line,) = [line for line in daemon.stderr.splitlines() if f"reason={reason}" in line]
    assert "the baseline is refused" in line

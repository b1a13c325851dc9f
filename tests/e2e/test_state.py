"""The state file and the daemons that would have it: one at a time, and none for want of it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Daemon, command
from tests.support.state import load, opened, save

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
PERSISTENT = "loom_exporter_state_persistent"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


def _daemon(folder: Path) -> Daemon:
    return Daemon(NOWHERE, env={"LOOM_EXPORTER_STATE_DIR": str(folder)})


def test_second_daemon_on_one_state_file_is_refused_in_one_line(folder: Path) -> None:
    with _daemon(folder) as first:
        done = command(
            "serve",
            "--listen",
            "127.0.0.1:0",
            env={
                "LOOM_EXPORTER_DATABASE_URL": NOWHERE,
                "LOOM_EXPORTER_STATE_DIR": str(folder),
            },
        )
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        for part in (
            str(folder / "state.sqlite3"),
            f"process {first.process.pid} ",
            "LOOM_EXPORTER_STATE_DIR",
        ):
            assert part in line
        assert first.page().value(PERSISTENT) == 1.0


def test_daemon_starts_at_once_after_one_that_was_killed_and_has_what_commands_saved(
    folder: Path,
) -> None:
    path = folder / "state.sqlite3"
    with _daemon(folder) as daemon:
        with opened(path) as store:
            assert save(store, "signed", {"a": "1"})
        daemon.stop(signal.SIGKILL)
    with _daemon(folder) as daemon:
        assert daemon.page().value(PERSISTENT) == 1.0
        with opened(path, read_only=True) as store:
            assert load(store, "signed") == {"a": "1"}
        daemon.stop()
        assert daemon.process.returncode == 0
    with opened(path, read_only=True) as store:
        assert load(store, "signed") == {"a": "1"}


def test_daemon_runs_where_no_lock_can_be_had_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with _daemon(tmp_path / "file") as daemon:
        assert daemon.page().value(PERSISTENT) == 0.0
        assert str(tmp_path / "file" / "state.sqlite3") in daemon.stderr


def test_daemon_runs_on_a_corrupt_file_and_keeps_it_aside(folder: Path) -> None:
    folder.mkdir()
    (folder / "state.sqlite3").write_bytes(b"no SQLite" * 1000)
    with _daemon(folder) as daemon:
        assert daemon.page().value(PERSISTENT) == 1.0
        (aside,) = folder.glob("state.sqlite3.corrupt-*")
        assert aside.read_bytes() == b"no SQLite" * 1000
        assert str(aside) in daemon.stderr

"""The state file: damaged, full, taken away, of another version. The daemon runs all the same."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from exporter.state import Observation
from exporter.state.file import open_file
from tests.support.disk import full_disk
from tests.support.state import METRIC, load, look, opened, save, see, version

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.state import StateStore

MANY = {f"document {number}": f"{number} " * 200 for number in range(2000)}
"""More than SQLite keeps in memory of a file."""


def _damage(path: Path) -> None:
    """Overwrite the second half of the file, as a disk might that lies."""
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(bytes(size - size // 2))


def _set_aside(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.corrupt-*"))


def _assert_works(store: StateStore) -> None:
    assert save(store, "things", {"a": "1"}, replace=True)
    assert store.problem is None
    with opened(store.path) as other:
        assert load(other, "things") == {"a": "1"}
        assert other.problem is None


# ── damaged ──────────────────────────────────────────────────────────────────────────────────────


def test_corrupt_file_is_set_aside_and_a_new_one_begun(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is not SQLite" * 100)
    before = time.time() - 1
    with opened(path, owner=True) as store:
        assert store.problem is None
        assert store.set_aside_at is not None
        assert before <= store.set_aside_at <= time.time() + 1
        seen = see(store, "t1")
    (aside,) = _set_aside(path)
    assert aside.read_bytes().startswith(b"this is not SQLite")
    with opened(path, owner=True) as store:
        assert see(store, "t1") == seen
        assert store.set_aside_at is not None, "as long as it lies there"
    aside.unlink()
    with opened(path, owner=True) as store:
        assert store.set_aside_at is None


def test_tokens_that_are_damaged_count_as_missing_and_none_is_dated_to_now(path: Path) -> None:
    with opened(path) as store:
        see(store, "t1", at=1.0)
        see(store, "t2", at=2.0, label="b")
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE token SET token = CAST(x'74ff' AS TEXT) WHERE labels LIKE '%a%'")
        file.commit()
    with opened(path, owner=True) as store:
        assert store.problem is None
        seen = [Observation(("a",), "t1"), Observation(("b",), "t2")]
        assert store.observe("loom", METRIC, seen) == [None, 2.0], "it may be as old as it was"
        assert look(store, "t3") is not None
    assert _set_aside(path) == []
    with opened(path, owner=True) as store:
        assert look(store, "new", label="c") is not None, "it is whole again"


def test_scope_that_is_damaged_makes_the_file_a_corrupt_one(path: Path) -> None:
    with opened(path) as store:
        assert save(store, "things", {"a": "1"})
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE scope SET deployment = 'another'")
        file.commit()
    with opened(path) as store:
        assert load(store, "things") == {}
        assert store.problem is not None
    with opened(path, owner=True) as store:
        assert load(store, "things") == {}
        assert len(_set_aside(path)) == 1
        _assert_works(store)


def test_damage_deep_inside_is_found_at_the_start(path: Path) -> None:
    with opened(path) as store:
        assert save(store, "things", MANY)
    _damage(path)
    with opened(path, owner=True) as store:
        assert len(_set_aside(path)) == 1
        assert load(store, "things") == {}
        _assert_works(store)


def test_damage_that_is_met_later_is_set_aside_then(path: Path) -> None:
    with opened(path, owner=True) as store:
        see(store, "t1", at=1.0)
        assert save(store, "things", MANY)
        _damage(path)
        assert load(store, "things") == {}
        assert store.problem is not None
        assert str(path) in store.problem
        assert not save(store, "things", {"document 0": "0"}), "the rest is gone"
        assert len(_set_aside(path)) == 1
        _assert_works(store)
        see(store, "t1", label="b")
    with opened(path) as store:
        assert see(store, "t1") == 1.0, "memory leads, also into the new file"


@pytest.mark.parametrize("read_only", [False, True])
def test_command_tells_of_a_corrupt_file_and_leaves_it_where_it_is(
    path: Path, read_only: bool
) -> None:
    with opened(path) as store:
        assert save(store, "things", MANY)
    _damage(path)
    before = path.read_bytes()
    with opened(path, read_only=read_only) as store:
        assert load(store, "things") == {}
        assert version(store, "things") is None
        assert not save(store, "things", {"a": "1"})
        assert store.problem is not None
        assert len(store.problem.splitlines()) == 1
        assert str(path) in store.problem
        assert "loom-exporter serve" in store.problem
    assert path.read_bytes() == before
    assert _set_aside(path) == []


def test_log_of_a_corrupt_file_goes_with_it(path: Path) -> None:
    with opened(path) as store:
        assert save(store, "things", {"a": "old"})
    with contextlib.closing(open_file(path, owner=True)) as held:  # so that SQLite keeps the log
        held.execute("UPDATE document SET content = x'30'")
        with path.open("r+b") as file:
            file.write(b"no SQLite" * 1000)
        with opened(path, owner=True) as store:
            asides = [aside.name.partition("corrupt-")[2] for aside in _set_aside(path)]
            assert any(name.endswith("-wal") for name in asides)
            assert load(store, "things") == {}
            _assert_works(store)


# ── taken away ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("what", ["file", "folder"])
def test_file_that_is_deleted_under_a_daemon_is_begun_anew(path: Path, what: str) -> None:
    with opened(path, owner=True) as store:
        see(store, "t1", at=1.0)
        assert save(store, "things", {"a": "1"})
        if what == "file":
            path.unlink()
        else:
            shutil.rmtree(path.parent)
        assert version(store, "things") == 0
        assert load(store, "things") == {}
        _assert_works(store)
        assert look(store, "t1") == 1.0
    with opened(path) as store:
        assert look(store, "t1") == 1.0


def test_command_writes_to_the_file_that_is_there_now(path: Path) -> None:
    with opened(path) as command:
        assert save(command, "signed", {"a": "1"})
        path.rename(path.with_name("aside"))
        with opened(path, owner=True):
            assert not save(command, "signed", {"b": "2"}), "the first is gone"
            assert save(command, "signed", {"a": "1", "b": "2"})
    with opened(path, read_only=True) as store:
        assert load(store, "signed") == {"a": "1", "b": "2"}


# ── out of reach ─────────────────────────────────────────────────────────────────────────────────


def test_file_that_was_locked_at_the_start_is_taken_up_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.state.file._WAIT_SECONDS", 0.1)
    with opened(path) as store:
        see(store, "t1", at=1.0)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with opened(path, owner=True) as store:
            assert store.problem is not None
            assert look(store, "t1") is None
            other.execute("COMMIT")
            other.close()
            store._file._next_try = 0.0
            assert look(store, "t1") == 1.0, "the file knows longer"
            assert not store.problem
    assert _set_aside(path) == []


@pytest.mark.parametrize("owner", [False, True])
def test_folder_that_cannot_be_written_costs_the_memory_of_a_restart_only(
    tmp_path: Path, owner: bool
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with opened(tmp_path / "file" / "state.sqlite3", owner=owner) as store:
        assert store.problem is not None
        assert str(store.path) in store.problem
        first = see(store, "t1")
        assert see(store, "t1") == first
        assert see(store, "t2") > first


@pytest.mark.usefixtures("capsys")  # the log must not go to a file, which cannot grow either
def test_full_disk_is_told_and_what_was_not_written_is_written_later(path: Path) -> None:
    with opened(path, owner=True) as store:
        see(store, "t1", at=1.0)
        with full_disk():
            assert see(store, "t2", at=2.0) == 2.0
            problem = store.problem
            assert see(store, "t2") == 2.0, "memory leads"
        assert problem is not None
        assert str(path) in problem
        # Whatever is seen next, what was lost follows with it.
        see(store, "t1", label="b")
        assert store.problem is None
    with opened(path) as store:
        assert see(store, "t2") == 2.0


@pytest.mark.parametrize("is_new", [False, True])
@pytest.mark.usefixtures("capsys")
def test_disk_that_is_full_at_the_start_is_no_corruption(path: Path, is_new: bool) -> None:
    if not is_new:
        with opened(path) as store:
            assert save(store, "things", {"a": "1"})
    with contextlib.ExitStack() as stack:
        with full_disk():
            store = stack.enter_context(opened(path, owner=True))
            assert store.problem is not None
        store._file._next_try = 0.0
        assert load(store, "things") == ({} if is_new else {"a": "1"})
        _assert_works(store)
    assert _set_aside(path) == []


# ── of another version ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("owner", [False, True])
def test_file_of_a_newer_version_is_left_alone(path: Path, owner: bool) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE something_new (a)")
        file.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with opened(path, owner=owner) as store:
        assert store.problem is not None
        assert "version 99 of a newer loom-exporter" in store.problem
        first = see(store, "t1")
        assert see(store, "t1") == first
    assert path.read_bytes() == before
    assert {file.name for file in path.parent.iterdir()} <= {path.name, f"{path.name}.lock"}

"""The state file: damaged, full, taken away, of another version. The daemon runs all the same."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from exporter.state.file import SCHEMA_VERSION, open_file
from tests.support.disk import full_disk
from tests.support.state import look, opened, see

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.state import StateStore

MANY = {f"document {number}": f"{number} " * 200 for number in range(2000)}
"""More than SQLite keeps in memory of a file."""

VERSION_1 = """
CREATE TABLE token (
    database TEXT NOT NULL, metric TEXT NOT NULL, labels TEXT NOT NULL, token TEXT NOT NULL,
    changed_at REAL, PRIMARY KEY (database, metric, labels)
) WITHOUT ROWID, STRICT;
CREATE TABLE watched (
    database TEXT NOT NULL, metric TEXT NOT NULL, PRIMARY KEY (database, metric)
) WITHOUT ROWID, STRICT;
INSERT INTO watched VALUES ('loom', 'loom_things_timestamp_seconds');
INSERT INTO token VALUES ('loom', 'loom_things_timestamp_seconds', '["a"]', 't1', 1000.0);
"""

VERSION_2 = f"""{VERSION_1}
CREATE TABLE document (
    database TEXT NOT NULL, topic TEXT NOT NULL, name TEXT NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (database, topic, name)
) WITHOUT ROWID, STRICT;
INSERT INTO document VALUES ('loom', 'things', 'a', '1');
"""


def _write(path: Path, schema: str, version: int) -> None:
    path.parent.mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode = WAL")
        file.executescript(f"{schema} PRAGMA user_version = {version}")


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
    assert store.save("loom", "things", {"a": "1"}, replace=True)
    assert store.problem is None
    with opened(store.path) as other:
        assert other.load("loom", "things") == {"a": "1"}
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


def test_content_that_cannot_be_understood_counts_as_corrupt(path: Path) -> None:
    with opened(path) as store:
        see(store, "t1")
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE token SET labels = 'no JSON'")
        file.commit()
    with opened(path, owner=True) as store:
        assert store.problem is None
        see(store, "t1")
    assert len(_set_aside(path)) == 1
    with opened(path, read_only=True) as store:
        assert store.problem is None


def test_damage_deep_inside_is_found_at_the_start(path: Path) -> None:
    with opened(path) as store:
        assert store.save("loom", "things", MANY)
    _damage(path)
    with opened(path, owner=True) as store:
        assert len(_set_aside(path)) == 1
        assert store.load("loom", "things") == {}
        _assert_works(store)


def test_damage_that_is_met_later_is_set_aside_then(path: Path) -> None:
    with opened(path, owner=True) as store:
        see(store, "t1", at=1.0)
        assert store.save("loom", "things", MANY)
        _damage(path)
        assert store.load("loom", "things") == {}
        assert store.problem is not None
        assert str(path) in store.problem
        assert not store.save("loom", "things", {"document 0": "0"}), "the rest is gone"
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
        assert store.save("loom", "things", MANY)
    _damage(path)
    before = path.read_bytes()
    with opened(path, read_only=read_only) as store:
        assert store.load("loom", "things") == {}
        assert store.version("loom", "things") is None
        assert not store.save("loom", "things", {"a": "1"})
        assert store.problem is not None
        assert len(store.problem.splitlines()) == 1
        assert str(path) in store.problem
        assert "loom-exporter serve" in store.problem
    assert path.read_bytes() == before
    assert _set_aside(path) == []


def test_log_of_a_corrupt_file_goes_with_it(path: Path) -> None:
    with opened(path) as store:
        assert store.save("loom", "things", {"a": "old"})
    with contextlib.closing(open_file(path)) as held:  # so that SQLite keeps the log
        held.execute("UPDATE document SET content = 'older still'")
        with path.open("r+b") as file:
            file.write(b"no SQLite" * 1000)
        with opened(path, owner=True) as store:
            asides = [aside.name.partition("corrupt-")[2] for aside in _set_aside(path)]
            assert any(name.endswith("-wal") for name in asides)
            assert store.load("loom", "things") == {}
            _assert_works(store)


# ── taken away ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("what", ["file", "folder"])
def test_file_that_is_deleted_under_a_daemon_is_begun_anew(path: Path, what: str) -> None:
    with opened(path, owner=True) as store:
        see(store, "t1", at=1.0)
        assert store.save("loom", "things", {"a": "1"})
        if what == "file":
            path.unlink()
        else:
            shutil.rmtree(path.parent)
        assert store.version("loom", "things") == 0
        assert store.load("loom", "things") == {}
        _assert_works(store)
        assert look(store, "t1") == 1.0
    with opened(path) as store:
        assert look(store, "t1") == 1.0


def test_command_writes_to_the_file_that_is_there_now(path: Path) -> None:
    with opened(path) as command:
        assert command.save("loom", "signed", {"a": "1"})
        path.rename(path.with_name("aside"))
        with opened(path, owner=True):
            assert not command.save("loom", "signed", {"b": "2"}), "the first is gone"
            assert command.save("loom", "signed", {"a": "1", "b": "2"})
    with opened(path, read_only=True) as store:
        assert store.load("loom", "signed") == {"a": "1", "b": "2"}


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
            store._next_try = 0.0
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
            assert store.save("loom", "things", {"a": "1"})
    with contextlib.ExitStack() as stack:
        with full_disk():
            store = stack.enter_context(opened(path, owner=True))
            assert store.problem is not None
        store._next_try = 0.0
        assert store.load("loom", "things") == ({} if is_new else {"a": "1"})
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


@pytest.mark.parametrize("owner", [False, True])
@pytest.mark.parametrize(("schema", "version"), [(VERSION_1, 1), (VERSION_2, 2)])
def test_file_of_an_older_version_keeps_what_it_knows(
    path: Path, schema: str, version: int, owner: bool
) -> None:
    _write(path, schema, version)
    with opened(path, owner=owner) as store:
        assert look(store, "t1") == 1000.0
        assert store.load("loom", "things") == ({"a": "1"} if version > 1 else {})
        assert store.version("loom", "things") == 0
        assert store.save("loom", "things", {"b": "2"})
        assert store.version("loom", "things")
        assert store.problem is None
    assert _set_aside(path) == []
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


@pytest.mark.parametrize(("schema", "version"), [(VERSION_1, 1), (VERSION_2, 2)])
def test_file_of_an_older_version_is_read_as_it_is(path: Path, schema: str, version: int) -> None:
    _write(path, schema, version)
    before = path.read_bytes()
    with opened(path, read_only=True) as store:
        assert look(store, "t1") == 1000.0
        assert store.load("loom", "things") == ({"a": "1"} if version > 1 else {})
        assert store.version("loom", "things") == 0
        assert store.problem is None
    assert path.read_bytes() == before

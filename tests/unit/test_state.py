"""The state file remembers when tokens changed; where it cannot, it says so and goes on."""

from __future__ import annotations

import contextlib
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from exporter.state import Observation, StateStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METRIC = "loom_things_timestamp_seconds"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.sqlite3"


@contextlib.contextmanager
def _store(path: Path, *, read_only: bool = False) -> Iterator[StateStore]:
    store = StateStore(path, read_only=read_only)
    try:
        yield store
    finally:
        store.close()


def _look(store: StateStore, token: str, at: float | None = None, label: str = "a") -> float | None:
    (changed_at,) = store.observe("loom", METRIC, [Observation((label,), token, at)])
    return changed_at


def _see(store: StateStore, token: str, at: float | None = None, label: str = "a") -> float:
    """Look at a metric that was looked at before, when nothing was there."""
    store.observe("loom", METRIC, [])
    changed_at = _look(store, token, at, label)
    assert changed_at is not None
    return changed_at


@contextlib.contextmanager
def _full_disk() -> Iterator[None]:
    """Let no file of this process grow: what SQLite then sees is what a full disk shows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_token_seen_first_changed_now(path: Path) -> None:
    with _store(path) as store:
        before = time.time()
        assert before <= _see(store, "t1") <= time.time()
        assert store.problem is None


def test_token_that_was_there_before_anybody_looked_has_no_time(path: Path) -> None:
    with _store(path) as store:
        assert _look(store, "t1") is None
        assert _look(store, "t1") is None
        assert _look(store, "t1", label="b") is not None, "this one came later"
    with _store(path) as store:
        assert _look(store, "t1") is None, "nor after a restart"
        before = time.time()
        changed_at = _look(store, "t2")
        assert changed_at is not None
        assert before <= changed_at <= time.time()


def test_nothing_there_is_an_observation_that_outlives_a_restart(path: Path) -> None:
    with _store(path) as store:
        store.observe("loom", METRIC, [])
    with _store(path) as store:
        assert _look(store, "t1") is not None


@pytest.mark.parametrize("at", [float("nan"), float("inf")])
def test_time_that_is_no_time_counts_as_unknown(path: Path, at: float) -> None:
    with _store(path) as store:
        before = time.time()
        assert before <= _see(store, "t1", at=at) <= time.time()
        assert store.problem is None


def test_file_that_was_locked_at_the_start_is_taken_up_later(path: Path) -> None:
    with _store(path) as store:
        _see(store, "t1", at=1.0)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with _store(path) as store:
            assert store.problem is not None
            assert _look(store, "t1") is None
            other.execute("COMMIT")
            other.close()
            store._next_try = 0.0
            assert _look(store, "t1") == 1.0, "the file knows longer"
            assert store.problem is None


def test_token_keeps_its_time_until_it_changes(path: Path) -> None:
    with _store(path) as store:
        first = _see(store, "t1")
        assert _see(store, "t1") == first
        second = _see(store, "t2")
        assert second > first
        assert _see(store, "t1") > second, "a token that comes back has changed again"


def test_exact_time_is_believed(path: Path) -> None:
    with _store(path) as store:
        assert _see(store, "t1", at=1000.5) == 1000.5
        assert _see(store, "t1", at=1000.5) == 1000.5
        assert _see(store, "t2", at=2000.0) == 2000.0
        assert _see(store, "t2", at=1999.0) == 1999.0, "the server knows better"


def test_exact_time_that_is_forgotten_later_is_kept(path: Path) -> None:
    with _store(path) as store:
        _see(store, "t1", at=1000.0)
        assert _see(store, "t1") == 1000.0


def test_times_outlive_a_restart(path: Path) -> None:
    with _store(path) as store:
        seen = _see(store, "t1")
        _see(store, "t1", at=5.0, label="b")
    with _store(path) as store:
        assert _see(store, "t1") == seen
        assert _see(store, "t1", label="b") == 5.0
        assert _see(store, "t2", label="b") > seen


def test_series_are_told_apart_by_database_metric_and_labels(path: Path) -> None:
    with _store(path) as store:
        for number, (database, metric, labels) in enumerate(
            [("a", "m", ("x",)), ("b", "m", ("x",)), ("a", "n", ("x",)), ("a", "m", ("x", ""))]
        ):
            store.observe(database, metric, [Observation(labels, "t", float(number))])
    with _store(path) as store:
        assert store.observe("a", "m", [Observation(("x",), "t"), Observation(("x", ""), "t")]) == [
            0.0,
            3.0,
        ]
        assert store.observe("b", "m", [Observation(("x",), "t")]) == [1.0]
        assert store.observe("a", "n", [Observation(("x",), "t")]) == [2.0]


def test_corrupt_file_is_set_aside_and_a_new_one_begun(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is not SQLite" * 100)
    with _store(path) as store:
        assert store.problem is None
        seen = _see(store, "t1")
    (aside,) = path.parent.glob("state.sqlite3.corrupt-*")
    assert aside.read_bytes().startswith(b"this is not SQLite")
    with _store(path) as store:
        assert _see(store, "t1") == seen


def test_content_that_cannot_be_understood_counts_as_corrupt(path: Path) -> None:
    with _store(path) as store:
        _see(store, "t1")
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE token SET labels = 'no JSON'")
        file.commit()
    with _store(path) as store:
        assert store.problem is None
        _see(store, "t1")
    assert len(list(path.parent.glob("*.corrupt-*"))) == 1
    with _store(path, read_only=True) as store:
        assert store.problem is None


def test_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE something_new (a)")
        file.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with _store(path) as store:
        assert store.problem is not None
        assert "version 99 of a newer loom-exporter" in store.problem
        first = _see(store, "t1")
        assert _see(store, "t1") == first
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_folder_that_cannot_be_written_costs_the_memory_of_a_restart_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with _store(tmp_path / "file" / "state.sqlite3") as store:
        assert store.problem is not None
        assert str(store.path) in store.problem
        first = _see(store, "t1")
        assert _see(store, "t1") == first
        assert _see(store, "t2") > first


@pytest.mark.usefixtures("capsys")  # the log must not go to a file, which cannot grow either
def test_full_disk_is_told_and_what_was_not_written_is_written_later(path: Path) -> None:
    with _store(path) as store:
        _see(store, "t1", at=1.0)
        with _full_disk():
            assert _see(store, "t2", at=2.0) == 2.0
            problem = store.problem
            assert _see(store, "t2") == 2.0, "memory leads"
        assert problem is not None
        assert str(path) in problem
        # Whatever is seen next, what was lost follows with it.
        _see(store, "t1", label="b")
        assert store.problem is None
    with _store(path) as store:
        assert _see(store, "t2") == 2.0


def test_read_only_store_reads_and_leaves_no_trace(path: Path) -> None:
    with _store(path, read_only=True) as store:
        assert store.problem is None
        _see(store, "t1")
    assert not path.parent.exists()
    with _store(path) as store:
        seen = _see(store, "t1")
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    with _store(path, read_only=True) as store:
        assert _see(store, "t1") == seen
        assert _see(store, "t2") > seen
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    with _store(path) as store:
        assert _see(store, "t1") == seen


def test_read_only_store_sees_what_a_running_daemon_wrote(path: Path) -> None:
    with _store(path) as daemon:
        seen = _see(daemon, "t1")
        with _store(path, read_only=True) as store:
            assert store.problem is None
            assert _see(store, "t1") == seen
        _see(daemon, "t2")
        assert daemon.problem is None


def test_closed_store_goes_on_in_memory(path: Path) -> None:
    with _store(path) as store:
        seen = _see(store, "t1")
        store.close()
        assert _see(store, "t1") == seen
        assert _see(store, "t2") > seen


def test_threads_share_a_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[Exception] = []
    with _store(path) as store:
        monkeypatch.setattr(store, "_lose", lost.append)
        threads = [
            threading.Thread(
                target=lambda label: [_see(store, str(n), label=label) for n in range(20)],
                args=(str(number),),
            )
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert lost == []
        times = [_see(store, "19", label=str(number)) for number in range(8)]
    with _store(path) as store:
        assert [_see(store, "19", label=str(number)) for number in range(8)] == times


_PROCESS = """
import sys
from pathlib import Path
from exporter.state import Observation, StateStore

store = StateStore(Path(sys.argv[1]))
for number in range(50):
    store.observe(sys.argv[2], "m", [Observation((str(number),), "t", float(number))])
store.close()
sys.exit(store.problem)
"""


def test_processes_share_a_file(path: Path) -> None:
    path.parent.mkdir()
    processes = [
        subprocess.Popen([sys.executable, "-c", _PROCESS, str(path), name]) for name in "abc"
    ]
    assert [process.wait(timeout=30) for process in processes] == [0, 0, 0]
    seen = [Observation((str(number),), "t") for number in range(50)]
    with _store(path) as store:
        for name in "abc":
            assert store.observe(name, "m", seen) == [float(number) for number in range(50)]


# ── documents ────────────────────────────────────────────────────────────────────────────────────


def test_documents_are_read_back_by_database_and_topic(path: Path) -> None:
    with _store(path) as store:
        assert store.save("loom", "things", {"a": "1", "b": "2"})
        assert store.save("loom", "others", {"a": "3"})
        assert store.save("other", "things", {"a": "4"})
        assert store.save("loom", "things", {"a": None, "c": "5"})
    with _store(path) as store:
        assert store.load("loom", "things") == {"b": "2", "c": "5"}
        assert store.save("loom", "things", {"d": "6"}, replace=True)
        assert store.load("loom", "things") == {"d": "6"}
        assert store.load("loom", "others") == {"a": "3"}
        assert store.load("other", "things") == {"a": "4"}


@pytest.mark.usefixtures("capsys")  # as above
def test_documents_that_cannot_be_written_are_told_of(path: Path) -> None:
    with _store(path) as store:
        assert store.save("loom", "things", {"a": "1"})
        with _full_disk():
            assert not store.save("loom", "things", {"a": "2" * 100_000, "b": "2"})
        problem = store.problem
        assert problem is not None
        assert str(path) in problem
        assert store.load("loom", "things") == {"a": "1"}, "all of them or none"
        assert store.save("loom", "things", {"a": "3"})
        assert not store.problem
    with _store(path, read_only=True) as store:
        assert not store.save("loom", "things", {"a": "4"})


def test_file_of_the_first_version_keeps_its_tokens(path: Path) -> None:
    with _store(path) as store:
        at = _see(store, "t1")
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("DROP TABLE document")
        file.execute("PRAGMA user_version = 1")
    with _store(path) as store:
        assert _see(store, "t1") == at
        assert store.save("loom", "things", {"a": "1"})
        assert store.problem is None
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (2,)

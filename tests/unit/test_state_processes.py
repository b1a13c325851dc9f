"""One state file, several threads and processes: nothing is lost, however a process ends."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from exporter.errors import UsageError
from exporter.state import Observation, StateStore
from exporter.state.lock import lock_path
from tests.support.state import opened, see

if TYPE_CHECKING:
    from pathlib import Path


def test_read_only_store_reads_and_leaves_no_trace(path: Path) -> None:
    with opened(path, read_only=True) as store:
        assert store.problem is None
        see(store, "t1")
    assert not path.parent.exists()
    with opened(path) as store:
        seen = see(store, "t1")
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    with opened(path, read_only=True) as store:
        assert see(store, "t1") == seen
        assert see(store, "t2") > seen
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    with opened(path) as store:
        assert see(store, "t1") == seen


def test_read_only_store_sees_what_a_running_daemon_wrote(path: Path) -> None:
    with opened(path) as daemon:
        seen = see(daemon, "t1")
        with opened(path, read_only=True) as store:
            assert store.problem is None
            assert see(store, "t1") == seen
        see(daemon, "t2")
        assert daemon.problem is None


def test_closed_store_goes_on_in_memory(path: Path) -> None:
    with opened(path) as store:
        seen = see(store, "t1")
        store.close()
        assert see(store, "t1") == seen
        assert see(store, "t2") > seen


def test_threads_share_a_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[Exception] = []
    with opened(path) as store:
        monkeypatch.setattr(store, "_lose", lost.append)
        threads = [
            threading.Thread(
                target=lambda label: [see(store, str(n), label=label) for n in range(20)],
                args=(str(number),),
            )
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert lost == []
        times = [see(store, "19", label=str(number)) for number in range(8)]
    with opened(path) as store:
        assert [see(store, "19", label=str(number)) for number in range(8)] == times


# ── processes ────────────────────────────────────────────────────────────────────────────────────

BEGIN = """
import sys
from pathlib import Path
from exporter.state import Observation, StateStore

path = Path(sys.argv[1])
"""

DAEMON = f"""{BEGIN}
store = StateStore(path, owner=True)
for number in range(300):
    store.observe("loom", "m", [Observation((str(number),), "t", float(number))])
    assert store.save("loom", "statements", {{str(number): "x" * 5000}}), store.problem
    assert store.save("loom", "shared", {{f"daemon {{number}}": "1"}}), store.problem
assert store.problem is None
"""

COMMAND = f"""{BEGIN}
for number in range(60):
    store = StateStore(path)
    assert store.save("loom", "shared", {{f"{{sys.argv[2]}} {{number}}": "1"}}), store.problem
    store.close()
"""

SAVING = f"""{BEGIN}
store = StateStore(path, owner=True)
number = int(sys.argv[2])
while store.save("loom", "signed", {{str(number % 50): f"{{number}} " + "x" * 20_000}}):
    print(number, flush=True)
    number += 1
sys.exit(store.problem)
"""


def _start(script: str, *arguments: str | int | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def test_daemon_and_commands_write_at_once_and_nothing_is_lost(path: Path) -> None:
    names = ("a", "b", "c")
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(process)
            for process in (_start(DAEMON, path), *(_start(COMMAND, path, name) for name in names))
        ]
        known = 0
        while any(process.poll() is None for process in processes):
            with opened(path, read_only=True) as reader:
                assert reader.problem is None
                now = len(reader.load("loom", "shared"))
            assert now >= known
            known = now
    assert [process.returncode for process in processes] == [0] * len(processes)
    with opened(path, read_only=True) as store:
        assert len(store.load("loom", "statements")) == 300
        assert store.load("loom", "shared").keys() == {
            *(f"daemon {number}" for number in range(300)),
            *(f"{name} {number}" for name in names for number in range(60)),
        }
        seen = [Observation((str(number),), "t") for number in range(300)]
        assert store.observe("loom", "m", seen) == [float(number) for number in range(300)]


def test_whatever_was_saved_outlives_a_process_that_is_killed_at_any_moment(path: Path) -> None:
    saved: dict[str, int] = {}
    for _ in range(20):
        with _start(SAVING, path, max(saved.values(), default=-1) + 1) as process:
            assert process.stdout is not None
            told = [process.stdout.readline()]
            time.sleep(random.uniform(0.0, 0.1))
            process.send_signal(signal.SIGKILL)
            told += process.stdout.readlines()
        assert process.returncode == -signal.SIGKILL
        saved |= {str(int(line) % 50): int(line) for line in told if line.endswith("\n")}
        with opened(path, read_only=True) as store:
            assert store.problem is None, "the file is whole"
            found = {
                name: int(text.split()[0]) for name, text in store.load("loom", "signed").items()
            }
        assert all(found[name] >= number for name, number in saved.items())
    assert max(saved.values()) >= 20
    assert list(path.parent.glob("*.corrupt-*")) == []


# ── the owner ────────────────────────────────────────────────────────────────────────────────────


def test_second_owner_is_refused_and_told_who_is_the_first(path: Path) -> None:
    with opened(path, owner=True) as first:
        with pytest.raises(UsageError) as refused:
            StateStore(path, owner=True)
        (line,) = str(refused.value).splitlines()
        assert str(path) in line
        assert "process " in line
        assert "LOOM_EXPORTER_STATE_DIR" in line
        assert first.save("loom", "things", {"a": "1"})
        with opened(path) as command:
            assert command.save("loom", "things", {"b": "2"}), "commands are not kept out"
    with opened(path, owner=True) as second:
        assert second.load("loom", "things") == {"a": "1", "b": "2"}


def test_owner_whose_lock_was_deleted_and_taken_steps_back(path: Path) -> None:
    with opened(path, owner=True) as first:
        assert first.save("loom", "things", {"a": "1"})
        lock_path(path).unlink()
        with opened(path, owner=True) as second:
            assert not first.save("loom", "things", {"a": "2"})
            assert first.problem is not None
            assert "another loom-exporter" in first.problem
            assert second.save("loom", "things", {"a": "3"})
            assert second.problem is None
        with opened(path, read_only=True) as store:
            assert store.load("loom", "things") == {"a": "3"}


def test_owner_whose_lock_was_deleted_takes_it_again(path: Path) -> None:
    with opened(path, owner=True) as store:
        lock_path(path).unlink()
        assert store.save("loom", "things", {"a": "1"})
        with pytest.raises(UsageError):
            StateStore(path, owner=True)

"""One state file, several threads and processes: nothing is lost, however a process ends."""

from __future__ import annotations

import asyncio
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
from tests.support.observers import HANG_SECONDS
from tests.support.state import load, opened, save, see

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


async def test_worker_does_one_thing_at_a_time_in_the_order_of_the_calls(path: Path) -> None:
    done: list[int] = []

    def work(number: int) -> int:
        done.append(number)
        time.sleep(0.001)
        assert done[-1] == number, "nothing else was done meanwhile"
        return threading.get_ident()

    with opened(path) as store:
        threads = await asyncio.gather(*(store.run(work, number) for number in range(50)))
        threads.append(await asyncio.to_thread(store.wait_for, work, 50))
    assert done == list(range(51))
    assert len(set(threads)) == 1
    assert threading.get_ident() not in threads


async def test_store_is_closed_once_its_worker_is_done_and_what_waits_is_an_error(
    path: Path,
) -> None:
    store = StateStore(path)
    begun, may_end = threading.Event(), threading.Event()

    def slow() -> bool:
        begun.set()
        may_end.wait(HANG_SECONDS)
        return save(store, "things", {"a": "1"})

    first = asyncio.ensure_future(store.run(slow))
    assert await asyncio.to_thread(begun.wait, HANG_SECONDS)
    waiting = asyncio.ensure_future(asyncio.to_thread(store.wait_for, save, store, "things", {}))
    closing = asyncio.ensure_future(asyncio.to_thread(store.close))
    await asyncio.sleep(0.05)
    assert not closing.done()
    may_end.set()
    await closing
    assert await first, "what was begun is written"
    with pytest.raises(RuntimeError):
        await waiting


# ── processes ────────────────────────────────────────────────────────────────────────────────────

BEGIN = """
import sys
from pathlib import Path
from exporter.state import Observation, StateStore, file
from tests.support.state import save

file._WAIT_SECONDS = 100.0  # another one may be held up for long in the middle of its writing
path = Path(sys.argv[1])
"""

DAEMON = f"""{BEGIN}
store = StateStore(path, owner=True)
for number in range(300):
    store.observe("loom", "m", [Observation((str(number),), "t", float(number))])
    assert save(store, "statements", {{str(number): "x" * 5000}}), store.problem
    assert save(store, "shared", {{f"daemon {{number}}": "1"}}), store.problem
assert store.problem is None
"""

COMMAND = f"""{BEGIN}
for number in range(60):
    store = StateStore(path)
    assert save(store, "shared", {{f"{{sys.argv[2]}} {{number}}": "1"}}), store.problem
    store.close()
"""

SAVING = f"""{BEGIN}
store = StateStore(path, owner=True)
number = int(sys.argv[2])
while save(store, "signed", {{str(number % 50): f"{{number}} " + "x" * 20_000}}):
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
                now = len(load(reader, "shared"))
            assert now >= known
            known = now
    assert [process.returncode for process in processes] == [0] * len(processes)
    with opened(path, read_only=True) as store:
        assert len(load(store, "statements")) == 300
        assert load(store, "shared").keys() == {
            *(f"daemon {number}" for number in range(300)),
            *(f"{name} {number}" for name in names for number in range(60)),
        }
        seen = [Observation((str(number),), "t") for number in range(300)]
        assert store.observe("loom", "m", seen) == [float(number) for number in range(300)]


def test_whatever_was_saved_outlives_a_process_that_is_killed_at_any_moment(path: Path) -> None:
    saved: dict[str, int] = {}
    for killed in range(20):
        with _start(SAVING, path, max(saved.values(), default=-1) + 1) as process:
            assert process.stdout is not None
            # Often more than one, however slow the disk is.
            told = [process.stdout.readline() for _ in range(1 + killed % 3)]
            time.sleep(random.uniform(0.0, 0.1))
            process.send_signal(signal.SIGKILL)
            told += process.stdout.readlines()
        assert process.returncode == -signal.SIGKILL
        saved |= {str(int(line) % 50): int(line) for line in told if line.endswith("\n")}
        with opened(path, read_only=True) as store:
            assert store.problem is None, "the file is whole"
            found = {name: int(text.split()[0]) for name, text in load(store, "signed").items()}
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
        assert save(first, "things", {"a": "1"})
        with opened(path) as command:
            assert save(command, "things", {"b": "2"}), "commands are not kept out"
    with opened(path, owner=True) as second:
        assert load(second, "things") == {"a": "1", "b": "2"}


def test_owner_whose_lock_was_deleted_and_taken_steps_back(path: Path) -> None:
    with opened(path, owner=True) as first:
        assert save(first, "things", {"a": "1"})
        lock_path(path).unlink()
        with opened(path, owner=True) as second:
            assert not save(first, "things", {"a": "2"})
            assert first.problem is not None
            assert "another loom-exporter" in first.problem
            assert save(second, "things", {"a": "3"})
            assert second.problem is None
        with opened(path, read_only=True) as store:
            assert load(store, "things") == {"a": "3"}


def test_owner_whose_lock_was_deleted_takes_it_again(path: Path) -> None:
    with opened(path, owner=True) as store:
        lock_path(path).unlink()
        assert save(store, "things", {"a": "1"})
        with pytest.raises(UsageError):
            StateStore(path, owner=True)

"""What 10,000 runs with 1,000 new labels each leave behind in memory and in the state file.

A change_timestamp metric whose labels are new in every run, such as one by request. The store keeps
the tokens of the last run and as many that are gone. Memory is what is no page of a file. The
claim: after the first tenth of the runs, the file grows by less than 1 MiB and the memory by less
than 8 MiB, and a run takes no longer at the end than twice what it took then.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.memory import anonymous_mib
from bench.telling import claim, progress
from exporter.state import Observation, StateStore

RUNS = 10_000
LABELS = 1_000
FILE_LIMIT_MIB = 1.0
MEMORY_LIMIT_MIB = 8.0
SLOWER_LIMIT = 2.0
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where the state is, if there is such a place: to wait for a disk would take most of the time."""


def seconds_of(store: StateStore, runs: range) -> float:
    """Observe new labels in each run, and return the time of a run."""
    began = time.monotonic()
    for run in runs:
        seen = [Observation((f"request {run} {label}",), "token") for label in range(LABELS)]
        store.observe("loom", "loom_things_timestamp_seconds", seen)
    return (time.monotonic() - began) / len(runs)


def file_mib(folder: Path) -> float:
    """Return the size of the state file and of what SQLite keeps beside it."""
    return sum(path.stat().st_size for path in folder.iterdir()) / 2**20


def main() -> int:
    """Run, and return 0 if the claim holds."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as name:
        folder = Path(name)
        store = StateStore(folder / "state.sqlite3", owner=True)
        first = RUNS // 10
        at_first = seconds_of(store, range(first))
        gc.collect()
        memory, size = anonymous_mib(os.getpid()), file_mib(folder)
        progress(f"{first} runs: {memory:.1f} MiB of memory, {size:.2f} MiB of files")
        seconds_of(store, range(first, RUNS - first))
        at_last = seconds_of(store, range(RUNS - first, RUNS))
        gc.collect()
        grown, added = file_mib(folder) - size, anonymous_mib(os.getpid()) - memory
        problem = store.problem
        store.close()
    print(f"files {size:.2f} MiB ({grown:+.2f}), memory {memory:.1f} MiB ({added:+.2f})")
    print(f"a run takes {1e3 * at_first:.1f} ms at first, {1e3 * at_last:.1f} ms at last")
    holds = [
        claim(f"no file grows by {FILE_LIMIT_MIB:g} MiB", holds=grown < FILE_LIMIT_MIB),
        claim(f"no memory grows by {MEMORY_LIMIT_MIB:g} MiB", holds=added < MEMORY_LIMIT_MIB),
        claim(f"not {SLOWER_LIMIT:g}× slower", holds=at_last < SLOWER_LIMIT * at_first),
        claim("all of it is written", holds=problem is None),
    ]
    return 0 if all(holds) else 1


if __name__ == "__main__":
    sys.exit(main())

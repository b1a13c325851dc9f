"""Memory of a process, as Linux counts it, in MiB."""

from __future__ import annotations

from pathlib import Path

import psutil

_RESET_PEAK = "5"  # proc_pid_clear_refs(5)


def own_mib(pid: int) -> float:
    """Return what would be free if the process ended: pages shared with others do not count."""
    return float(psutil.Process(pid).memory_full_info().uss) / 2**20


def resident_mib(pid: int) -> float:
    """Return what the process has in memory, as a container counts it."""
    return float(psutil.Process(pid).memory_info().rss) / 2**20


def peak_mib(pid: int) -> float:
    """Return the most that was resident at once since the last time that this was asked."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK, encoding="utf-8")
    return int(line.split()[1]) / 1024

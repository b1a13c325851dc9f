"""Memory of a process, as Linux counts it, in MiB."""

from __future__ import annotations

from pathlib import Path

_RESET_PEAK = "5"  # proc_pid_clear_refs(5)


def anonymous_mib(pid: int) -> float:
    """Return what is no page of a file: those come and go with what else the machine does."""
    return _status_mib(pid, "RssAnon")


def resident_mib(pid: int) -> float:
    """Return what the process has in memory, be it that others have it as well."""
    return _status_mib(pid, "VmRSS")


def peak_mib(pid: int) -> float:
    """Return the most that was resident at once since the last time that this was asked."""
    peak = _status_mib(pid, "VmHWM")
    Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK, encoding="utf-8")
    return peak


def _status_mib(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024

"""What we ask of the operating system: processes and their children, and a free port."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal
    from collections.abc import Collection


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on.

    It lies below the range from which systems take ports for outgoing connections. In that range
    a client that keeps trying while the server is down could get the server's own port.
    """
    for port in random.sample(range(20000, 32000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("None of 100 TCP ports between 20000 and 32000 is free on 127.0.0.1.")


def children(pid: int) -> list[int]:
    """Return the ids of the processes that `pid` started itself and that have not ended."""
    return [child for child, parent in _parents().items() if parent == pid]


def send_signal(pids: Collection[int], number: signal.Signals) -> None:
    """Signal each process; one that is gone already is passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_until_gone(pids: Collection[int], *, timeout_seconds: float) -> None:
    """Wait until all processes have ended.

    Raises:
        TimeoutError: Some were still there; the message names them.
    """
    deadline = time.monotonic() + timeout_seconds
    while remaining := _parents().keys() & set(pids):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Processes {sorted(remaining)} did not end.")
        time.sleep(0.02)


def _parents() -> dict[int, int]:
    # A zombie has ended; in a container there may be nobody to collect it.
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat="], check=True, capture_output=True, text=True
    ).stdout
    rows = (line.split() for line in listing.splitlines())
    return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}

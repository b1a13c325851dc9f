"""What we ask of the operating system: processes and their children, and a free port."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import time
from typing import TYPE_CHECKING

import psutil

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
    with contextlib.suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(pid).children() if _is_there(child)]
    return []


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
    processes = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    deadline = time.monotonic() + timeout_seconds
    while remaining := [process.pid for process in processes if _is_there(process)]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Processes {remaining} did not end.")
        time.sleep(0.02)


def _is_there(process: psutil.Process) -> bool:
    # A zombie has ended; in a container there may be nobody to collect it.
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False

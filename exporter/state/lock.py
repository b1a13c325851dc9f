"""The lock of a state file, which one daemon holds while it runs."""

import contextlib
import fcntl
import os
import socket
from io import FileIO
from pathlib import Path


class TakenError(Exception):
    """Another process holds the lock; `str()` is one line: which process, and what to do."""


def lock_path(path: Path) -> Path:
    """Return the path of the lock of the file at `path`."""
    return path.with_name(f"{path.name}.lock")


def take_lock(path: Path) -> FileIO:
    """Lock the file at `path`, whose folder is created; closing the result releases the lock.

    The kernel releases it too when the process ends, in whichever way.

    Raises:
        TakenError: another process holds it.
        OSError: there can be no lock, as in a folder that cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileIO(lock_path(path), "a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(lock)
        lock.close()
        raise TakenError(
            f"in use by another loom-exporter{holder}; stop that one, or give each a folder of its "
            "own with LOOM_EXPORTER_STATE_DIR"
        ) from None
    except BaseException:
        lock.close()
        raise
    # For the message to others only: a full disk is no reason to do without the lock.
    with contextlib.suppress(OSError):
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
    return lock


def _holder(lock: FileIO) -> str:
    lock.seek(0)
    text = lock.read(200).decode(errors="replace")
    return f" ({text})" if text.isprintable() and text else ""

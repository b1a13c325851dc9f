"""Whose a state file is: one daemon's, for as long as it lives."""

import contextlib
import fcntl
import os
import socket
from io import FileIO
from pathlib import Path


class TakenError(Exception):
    """Another process holds the lock; `str()` is one line that says which, and what to do."""


def lock_path(path: Path) -> Path:
    """Return where the lock of the file at `path` lies."""
    return path.with_name(f"{path.name}.lock")


def take_lock(path: Path) -> FileIO:
    """Return what holds the lock of the file at `path` until it is closed; its folder is created.

    The kernel lets go of it when the process ends, however it ends.

    Raises:
        TakenError: another process holds it.
        OSError: there is no lock to be had there, as in a folder that cannot be written.
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
    # Only for whoever is refused: that the disk is full is no reason to be without the lock.
    with contextlib.suppress(OSError):
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
    return lock


def _holder(lock: FileIO) -> str:
    lock.seek(0)
    text = lock.read(200).decode(errors="replace")
    return f" ({text})" if text.isprintable() and text else ""

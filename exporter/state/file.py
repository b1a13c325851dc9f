"""The SQLite file: opens it, checks it, brings it up to date, or sets it aside."""

import contextlib
import re
import sqlite3
import time
from functools import partial
from io import FileIO
from pathlib import Path

from exporter.state.lock import TakenError, take_lock
from exporter.state.schema import (
    SCHEMA_VERSION,
    TABLES,
    CorruptError,
    NewerVersionError,
    transaction,
    version_of,
)
from exporter.state.version_3 import upgrade

_WAIT_SECONDS = 5.0
"""Time for which a process waits for another one that writes."""


def open_file(path: Path, *, owner: bool) -> sqlite3.Connection:
    """Open the file at `path` to read and write; it and its folder are created.

    Args:
        path: the file.
        owner: whether we hold its lock; to bring an older file up to date, no other process may.

    Raises:
        OSError: the folder cannot be made.
        sqlite3.Error: the file cannot be opened or written; see `is_corrupt`.
        CorruptError: what is in it is damaged.
        NewerVersionError: it is not for us.
        TakenError: an older file is in use by another process.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = _connect(path)
    try:
        _check(file)
        _write_ahead(file)
        # What was saved outlives a power cut too, as a signature should: in WAL mode less than FULL
        # leaves the last commits to the system. That is one fsync for each commit, of which there
        # are a few a minute.
        file.execute("PRAGMA synchronous = FULL")
        if 0 < version_of(file) < SCHEMA_VERSION and not owner:
            with contextlib.closing(_lock_older(path)):
                _bring_up_to_date(file)
        else:
            _bring_up_to_date(file)
    except BaseException:
        file.close()
        raise
    return file


def copy_file(path: Path) -> sqlite3.Connection:
    """Return a copy in memory of the file at `path`, as it is now; an empty one if there is none.

    The file is read without leaving a trace, and others can write it meanwhile.

    Raises:
        OSError: it is not known whether there is a file.
        sqlite3.Error, CorruptError, NewerVersionError: as of `open_file`.
    """
    copy = _connect(":memory:")
    try:
        if _is_there(path):
            with contextlib.closing(_connect(_reading(path))) as file:
                _check(file)
                file.backup(copy)
        _bring_up_to_date(copy)
    except BaseException:
        copy.close()
        raise
    return copy


def is_corrupt(error: Exception) -> bool:
    """Return whether `error` means that a file is damaged, and not only out of reach."""
    if isinstance(error, sqlite3.Error):
        # An error of Python's own module has no code; the upper bits are a finer distinction.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return isinstance(error, CorruptError)


def set_aside(path: Path) -> Path:
    """Rename the file at `path`, so that a new one can be begun; return its new path.

    Raises:
        OSError: the folder cannot be written.
    """
    aside = path.with_name(f"{path.name}.corrupt-{time.time():.0f}")
    # The log first: beside a new file, SQLite would take it for the log of that one.
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def last_set_aside(path: Path) -> float | None:
    """Return the Unix time at which a file was last set aside; None if none lies there."""
    name = re.compile(rf"{re.escape(path.name)}\.corrupt-(\d+)")
    found = [name.fullmatch(other.name) for other in path.parent.iterdir()]
    return max((float(match[1]) for match in found if match), default=None)


def _connect(place: Path | str) -> sqlite3.Connection:
    file = sqlite3.connect(
        place,
        timeout=_WAIT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        uri=isinstance(place, str),
    )
    # Text that is damaged does not have its checksum, and need not be UTF-8 either.
    file.text_factory = partial(str, encoding="utf-8", errors="replace")
    return file


def _is_there(path: Path) -> bool:
    # `exists()` is also false for a path through something that is no folder.
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


def _reading(path: Path) -> str:
    """Return a URI that opens the file at `path` without a trace."""
    # Without a log beside it no process is writing, and SQLite would make one, owned by the reader.
    log = path.with_name(f"{path.name}-wal")
    return f"{path.absolute().as_uri()}?mode=ro" + ("" if log.exists() else "&immutable=1")


def _check(file: sqlite3.Connection) -> None:
    """Read the whole file once: a few milliseconds, and damage is found now and not later."""
    version = version_of(file)
    if version > SCHEMA_VERSION:
        raise NewerVersionError(
            f"version {version} of a newer loom-exporter; this one knows {SCHEMA_VERSION}"
        )
    (found,) = file.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise CorruptError(found.splitlines()[-1])


def _write_ahead(file: sqlite3.Connection) -> None:
    """Switch the file to WAL, in which readers and a writer do not wait for each other."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            file.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # For this one change SQLite does not wait if another process makes it as well.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _lock_older(path: Path) -> FileIO:
    """Take the lock of a file of an older version: its daemon could not use what we make of it."""
    try:
        return take_lock(path)
    except TakenError as taken:
        raise TakenError(f"of an older version, and {taken}") from None


def _bring_up_to_date(file: sqlite3.Connection) -> None:
    if version_of(file) >= SCHEMA_VERSION:
        return
    with transaction(file):
        version = version_of(file)
        if version >= SCHEMA_VERSION:  # by another process, meanwhile
            return
        for table, since in (("token", 1), ("document", 2)):
            if version >= since:
                file.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
        if version >= 3:
            file.execute("DROP TABLE topic")
        for table in TABLES:
            file.execute(table)
        if version:
            upgrade(file)
        file.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

"""What must outlive a restart, in one SQLite file.

So far: when each token of a `change_timestamp` metric last changed. Memory leads and the file
follows, so a broken file or a full disk costs the memory of the next restart and nothing else.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS token (
    database   TEXT NOT NULL,
    metric     TEXT NOT NULL,
    labels     TEXT NOT NULL,  -- JSON array of the label values
    token      TEXT NOT NULL,
    changed_at REAL NOT NULL,  -- Unix time
    PRIMARY KEY (database, metric, labels)
) WITHOUT ROWID, STRICT
"""

_log = structlog.get_logger(__name__)

Series = tuple[str, str, tuple[str, ...]]
"""A database, a metric and its label values."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A token as it was just seen; `at` is the exact Unix time of its change, if it is known."""

    labels: tuple[str, ...]
    token: str
    at: float | None = None


class StateStore:
    """Remembers tokens. Safe to use from several threads, and from several processes at once."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the store at `path`. Never raises: see `problem`.

        Args:
            path: the file; it and its folder are created.
            read_only: read what is there, if anything, and write nothing.
        """
        self.path = path
        self.problem: str | None = None
        """Why nothing outlives a restart; None while it does."""
        self._lock = threading.Lock()
        self._tokens: dict[Series, tuple[str, float]] = {}
        self._unwritten: set[Series] = set()
        self._file: sqlite3.Connection | None = None
        try:
            if not read_only:
                self._file = self._open()
            elif path.exists():
                self._connect(_reading(path)).close()
        except (sqlite3.Error, OSError, ValueError, _NewerVersionError) as error:
            self._lose(error)

    def observe(self, database: str, metric: str, seen: Sequence[Observation]) -> list[float]:
        """Return the Unix time at which each token last changed, and remember what is new.

        A token that was never seen before counts as changed now, or at its exact time.
        """
        now = time.time()
        with self._lock:
            times: list[float] = []
            for observation in seen:
                series = (database, metric, observation.labels)
                token, changed_at = self._tokens.get(series, (None, 0.0))
                if token != observation.token or (
                    observation.at is not None and observation.at != changed_at
                ):
                    changed_at = now if observation.at is None else observation.at
                    self._tokens[series] = (observation.token, changed_at)
                    self._unwritten.add(series)
                times.append(changed_at)
            if self._unwritten and self._file:
                self._write(self._file)
        return times

    def close(self) -> None:
        """Close the file; what is observed later is kept in memory only."""
        with self._lock:
            if self._file:
                self._file.close()
                self._file = None

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            return self._connect()
        except (sqlite3.DatabaseError, ValueError) as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # unreadable or locked, not corrupt
            aside = self.path.with_name(f"{self.path.name}.corrupt-{time.time():.0f}")
            self.path.rename(aside)
            _log.error(
                "the state file was corrupt; a new one is begun",
                path=str(self.path),
                kept_as=str(aside),
            )
            return self._connect()

    def _connect(self, uri: str = "") -> sqlite3.Connection:
        file = sqlite3.connect(
            uri or self.path,
            timeout=2.0,
            isolation_level=None,
            check_same_thread=False,
            uri=bool(uri),
        )
        try:
            (version,) = file.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise _NewerVersionError(
                    f"version {version} of a newer loom-exporter; this one knows {SCHEMA_VERSION}"
                )
            if not uri:
                file.execute("PRAGMA journal_mode = WAL")
                file.execute("PRAGMA synchronous = NORMAL")
                file.execute(_SCHEMA)
                file.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            for database, metric, labels, token, changed_at in file.execute("SELECT * FROM token"):
                self._tokens[database, metric, tuple(json.loads(labels))] = (token, changed_at)
        except BaseException:
            file.close()
            raise
        return file

    def _write(self, file: sqlite3.Connection) -> None:
        """Write what the file does not have yet; what fails is tried again next time."""
        rows = [
            (database, metric, json.dumps(labels), *self._tokens[database, metric, labels])
            for database, metric, labels in self._unwritten
        ]
        try:
            file.execute("BEGIN IMMEDIATE")
            file.executemany("INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?, ?)", rows)
            file.execute("COMMIT")
            self._unwritten.clear()
            self.problem = None
        except sqlite3.Error as error:
            if file.in_transaction:
                file.execute("ROLLBACK")
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        reason = f"{self.path}: {error}"
        if reason != self.problem:
            _log.error(
                "state is kept in memory only and lost at a restart; see LOOM_EXPORTER_STATE_DIR",
                reason=reason,
            )
        self.problem = reason


def _reading(path: Path) -> str:
    """Return a URI that opens the file at `path` without a trace."""
    # Without a log beside it nobody is writing, and SQLite would make one, owned by whoever reads.
    log = path.with_name(f"{path.name}-wal")
    return f"{path.absolute().as_uri()}?mode=ro" + ("" if log.exists() else "&immutable=1")


class _NewerVersionError(Exception):
    """The file was written by a newer version: it is neither read nor touched."""

"""What must outlive a restart, in one SQLite file.

When each token of a `change_timestamp` metric last changed, and documents that other parts keep
here, by topic. Memory leads and the file follows, so a broken file or a full disk costs the memory
of the next restart and nothing else.
"""

import json
import math
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

SCHEMA_VERSION = 2
"""Version 1 had no documents; it becomes version 2 when that table is made."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS token (
    database   TEXT NOT NULL,
    metric     TEXT NOT NULL,
    labels     TEXT NOT NULL,  -- JSON array of the label values
    token      TEXT NOT NULL,
    changed_at REAL,           -- Unix time; NULL: before anybody looked
    PRIMARY KEY (database, metric, labels)
) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS watched (  -- metrics that were looked at, be it that nothing was there
    database TEXT NOT NULL,
    metric   TEXT NOT NULL,
    PRIMARY KEY (database, metric)
) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS document (
    database TEXT NOT NULL,
    topic    TEXT NOT NULL,
    name     TEXT NOT NULL,
    content  TEXT NOT NULL,  -- JSON, of which only its owner knows what it means
    PRIMARY KEY (database, topic, name)
) WITHOUT ROWID, STRICT;
"""

_RETRY_SECONDS = 30.0

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
    """Remembers tokens and documents. Safe for several threads, and for several processes."""

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
        self._read_only = read_only
        self._tokens: dict[Series, tuple[str, float | None]] = {}
        self._watched: set[tuple[str, str]] = set()
        self._unwritten: set[Series] = set()
        self._file: sqlite3.Connection | None = None
        self._next_try = float("-inf")
        self._try_to_open()

    def observe(
        self, database: str, metric: str, seen: Sequence[Observation]
    ) -> list[float | None]:
        """Return the Unix time at which each token last changed, and remember what is new.

        None is for a token that was there before anybody looked at the metric: it changed at some
        time, and to make one up would pass an old state off as a fresh one.
        """
        now = time.time()
        with self._lock:
            self._try_to_open()
            is_first_look = (database, metric) not in self._watched
            times: list[float | None] = []
            for observation in seen:
                series = (database, metric, observation.labels)
                known = self._tokens.get(series)
                at = observation.at
                if at is not None and not math.isfinite(at):
                    at = None
                if known is None or known[0] != observation.token:
                    unknown = None if is_first_look and known is None else now
                    self._remember(series, observation.token, unknown if at is None else at)
                elif at is not None and at != known[1]:
                    self._remember(series, observation.token, at)
                times.append(self._tokens[series][1])
            self._watched.add((database, metric))
            if self._file and (self._unwritten or is_first_look):
                self._write(self._file)
        return times

    def load(self, database: str, topic: str) -> dict[str, str]:
        """Return the documents of a topic by name; none if the file cannot be read."""
        with self._lock:
            self._try_to_open()
            if not self._file:
                return {}
            try:
                rows = self._file.execute(
                    "SELECT name, content FROM document WHERE database = ? AND topic = ?",
                    (database, topic),
                )
                return dict(rows.fetchall())
            except sqlite3.Error as error:
                self._lose(error)
                return {}

    def save(
        self, database: str, topic: str, changed: Mapping[str, str | None], *, replace: bool = False
    ) -> bool:
        """Write documents of a topic, all or none of them; return whether they are written.

        Args:
            database: the database that they are about.
            topic: what they are about.
            changed: their content by name; None takes one away.
            replace: take away all others of the topic.
        """
        with self._lock:
            self._try_to_open()
            file = self._file
            if not file:
                return False
            place = (database, topic)
            kept = [(*place, name, text) for name, text in changed.items() if text is not None]
            gone = [(*place, name) for name, text in changed.items() if text is None]
            try:
                file.execute("BEGIN IMMEDIATE")
                if replace:
                    file.execute("DELETE FROM document WHERE database = ? AND topic = ?", place)
                file.executemany(
                    "DELETE FROM document WHERE database = ? AND topic = ? AND name = ?", gone
                )
                file.executemany("INSERT OR REPLACE INTO document VALUES (?, ?, ?, ?)", kept)
                file.execute("COMMIT")
            except sqlite3.Error as error:
                if file.in_transaction:
                    file.execute("ROLLBACK")
                self._lose(error)
                return False
            if not self._unwritten:
                self.problem = None
            return True

    def close(self) -> None:
        """Close the file; what is observed later is kept in memory only."""
        with self._lock:
            self._read_only = True
            if self._file:
                self._file.close()
                self._file = None

    def _remember(self, series: Series, token: str, changed_at: float | None) -> None:
        self._tokens[series] = (token, changed_at)
        self._unwritten.add(series)

    def _try_to_open(self) -> None:
        """Open the file if it is not open; again and again, for who holds it may let go of it."""
        if self._file or time.monotonic() < self._next_try:
            return
        self._next_try = time.monotonic() + _RETRY_SECONDS
        try:
            if not self._read_only:
                self._file = self._open()
                self.problem = None
            elif self.path.exists():
                self._connect(_reading(self.path)).close()
        except (sqlite3.Error, OSError, ValueError, _NewerVersionError) as error:
            self._lose(error)

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
                file.executescript(_SCHEMA)
                file.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._load(file)
        except BaseException:
            file.close()
            raise
        return file

    def _load(self, file: sqlite3.Connection) -> None:
        """Take from the file what it knows longer than we do."""
        for database, metric, labels, token, changed_at in file.execute("SELECT * FROM token"):
            series = (database, metric, tuple(json.loads(labels)))
            if series not in self._tokens or self._tokens[series][0] == token:
                self._tokens[series] = (token, changed_at)
        self._watched.update(file.execute("SELECT * FROM watched").fetchall())

    def _write(self, file: sqlite3.Connection) -> None:
        """Write what the file does not have yet; what fails is tried again next time."""
        rows = [
            (database, metric, json.dumps(labels), *self._tokens[database, metric, labels])
            for database, metric, labels in self._unwritten
        ]
        try:
            file.execute("BEGIN IMMEDIATE")
            file.executemany("INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?, ?)", rows)
            file.executemany("INSERT OR IGNORE INTO watched VALUES (?, ?)", list(self._watched))
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

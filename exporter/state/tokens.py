"""When each token last changed: memory leads, and the file follows."""

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from pydantic import TypeAdapter

from exporter.state.schema import checksum, transaction

TokenKey = tuple[str, str, tuple[str, ...]]
"""A database, a metric and its label values."""

_log = structlog.get_logger(__name__)

_LABELS: TypeAdapter[tuple[str, ...]] = TypeAdapter(tuple[str, ...])


@dataclass(frozen=True, slots=True)
class Observation:
    """A token as it was just seen; `at` is the exact Unix time of its change, if it is known."""

    labels: tuple[str, ...]
    token: str
    at: float | None = None


class Tokens:
    """The token of each series, and the Unix time at which it last changed, if that is known."""

    def __init__(self) -> None:
        self._known: dict[TokenKey, tuple[str, float | None]] = {}
        self._watched: set[tuple[str, str]] = set()
        self._unwritten: set[TokenKey] = set()
        self._unwritten_watched: set[tuple[str, str]] = set()
        self._is_damaged = False
        """Whether the file has damaged rows, so that all of them are written again."""

    @property
    def is_written(self) -> bool:
        """Whether the file has everything that is known."""
        return not (self._unwritten or self._unwritten_watched)

    def observe(
        self, database: str, metric: str, seen: Sequence[Observation], now: float
    ) -> list[float | None]:
        """Return when each token changed: at `now`, if it is not the one known of its series."""
        is_first_look = (database, metric) not in self._watched
        times: list[float | None] = []
        for observation in seen:
            series = (database, metric, observation.labels)
            known = self._known.get(series)
            at = None if observation.at is None else float(observation.at)
            if at is not None and not math.isfinite(at):
                at = None
            if known is None or known[0] != observation.token:
                unknown = None if is_first_look and known is None else now
                self._remember(series, observation.token, unknown if at is None else at)
            elif at is not None and at != known[1]:
                self._remember(series, observation.token, at)
            times.append(self._known[series][1])
        if is_first_look:
            self._watched.add((database, metric))
            self._unwritten_watched.add((database, metric))
        return times

    def read(self, file: sqlite3.Connection) -> None:
        """Take from the file what it knows longer than we do; leave out rows that are damaged.

        With such a row it is not known any more which series are new. So each metric is looked at
        as if for the first time, and no old token is dated to now.

        Raises:
            sqlite3.Error: the file cannot be read.
        """
        damaged = 0
        for *row, claimed in file.execute("SELECT * FROM token"):
            if checksum(*row) != claimed:
                damaged += 1
                continue
            database, metric, labels, token, changed_at = row
            series = (database, metric, _LABELS.validate_json(labels))
            if series not in self._known or self._known[series][0] == token:
                self._known[series] = (token, changed_at)
        if damaged:
            _log.error("tokens in the state file are damaged; they count as missing", rows=damaged)
            self._is_damaged = True
            self.forget_file()
        else:
            self._watched.update(file.execute("SELECT * FROM watched").fetchall())

    def write(self, file: sqlite3.Connection) -> None:
        """Write what the file does not have yet; what fails is tried again next time.

        Raises:
            sqlite3.Error: the file cannot be written.
        """
        rows = [
            (database, metric, _LABELS.dump_json(labels).decode(), *self._known[series])
            for series in self._unwritten
            for database, metric, labels in [series]
        ]
        with transaction(file):
            if self._is_damaged:
                file.execute("DELETE FROM token")
                file.execute("DELETE FROM watched")
            file.executemany(
                "INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?, ?, ?)",
                [(*row, checksum(*row)) for row in rows],
            )
            file.executemany(
                "INSERT OR IGNORE INTO watched VALUES (?, ?)", list(self._unwritten_watched)
            )
        self._unwritten.clear()
        self._unwritten_watched.clear()
        self._is_damaged = False

    def forget_file(self) -> None:
        """Write everything that is known next time: the file is another one."""
        self._unwritten.update(self._known)
        self._unwritten_watched.update(self._watched)

    def _remember(self, series: TokenKey, token: str, changed_at: float | None) -> None:
        self._known[series] = (token, changed_at)
        self._unwritten.add(series)

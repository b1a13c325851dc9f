"""When each token last changed: memory leads, and a file follows."""

import json
import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from exporter.state.file import CorruptError

TokenKey = tuple[str, str, tuple[str, ...]]
"""A database, a metric and its label values."""


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

    @property
    def is_written(self) -> bool:
        """Whether the file has all that is known."""
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
            at = observation.at
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
        """Take from the file what it knows longer than we do.

        Raises:
            sqlite3.Error: it cannot be read.
            CorruptError: what it says cannot be understood.
        """
        for database, metric, labels, token, changed_at in file.execute("SELECT * FROM token"):
            try:
                series = (database, metric, tuple(json.loads(labels)))
            except (ValueError, TypeError) as error:
                raise CorruptError(f"labels of a token: {error}") from None
            if series not in self._known or self._known[series][0] == token:
                self._known[series] = (token, changed_at)
        self._watched.update(file.execute("SELECT * FROM watched").fetchall())

    def write(self, file: sqlite3.Connection) -> None:
        """Write what the file does not have yet; what fails is tried again next time.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        rows = [
            (database, metric, json.dumps(labels), *self._known[database, metric, labels])
            for database, metric, labels in self._unwritten
        ]
        with file:
            file.execute("BEGIN IMMEDIATE")
            file.executemany("INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?, ?)", rows)
            file.executemany(
                "INSERT OR IGNORE INTO watched VALUES (?, ?)", list(self._unwritten_watched)
            )
        self._unwritten.clear()
        self._unwritten_watched.clear()

    def forget_file(self) -> None:
        """Write all that is known next time: the file is another one."""
        self._unwritten.update(self._known)
        self._unwritten_watched.update(self._watched)

    def _remember(self, series: TokenKey, token: str, changed_at: float | None) -> None:
        self._known[series] = (token, changed_at)
        self._unwritten.add(series)

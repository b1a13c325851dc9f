"""When each token last changed: memory leads, and the file follows."""

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from pydantic import TypeAdapter

from exporter.state.schema import checksum, transaction

MetricKey = tuple[str, str]
"""A database and a metric."""

TokenKey = tuple[str, str, tuple[str, ...]]
"""A database, a metric and its label values."""

KEPT_VANISHED = 1_000
"""How many tokens of series that are gone are kept of each metric, or as many as there are series.

A series that comes back with its old token has not changed. Those that were seen longest ago are
forgotten, so that labels that are new in each run need no room for ever.
"""

_MOST_GONE = 100_000
"""More rows are not deleted one by one."""

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
        self._known: dict[MetricKey, dict[tuple[str, ...], tuple[str, float | None]]] = {}
        """By labels; those of each metric in the order in which they were last seen."""
        self._watched: set[MetricKey] = set()
        self._unwritten: set[TokenKey] = set()
        """What the file does not have yet."""
        self._gone: set[TokenKey] = set()
        """What the file has still, perhaps."""
        self._unwritten_watched: set[MetricKey] = set()
        self._rewrites = False
        """Whether all rows of the file are written again: some are damaged, or many are gone."""

    @property
    def is_written(self) -> bool:
        """Whether the file has everything that is known."""
        return not (self._unwritten or self._gone or self._unwritten_watched)

    def observe(
        self, database: str, metric: str, seen: Sequence[Observation], now: float
    ) -> list[float | None]:
        """Return when each token changed: at `now`, if it is not the one known of its series."""
        is_first_look = (database, metric) not in self._watched
        tokens = self._known.setdefault((database, metric), {})
        times: list[float | None] = []
        for observation in seen:
            known = tokens.pop(observation.labels, None)
            at = None if observation.at is None else float(observation.at)
            if at is not None and not math.isfinite(at):
                at = None
            if known is None or known[0] != observation.token:
                unknown = None if is_first_look and known is None else now
                latest = (observation.token, unknown if at is None else at)
            else:
                latest = (observation.token, known[1] if at is None else at)
            tokens[observation.labels] = latest  # behind those that were not seen
            if latest != known:
                self._unwritten.add((database, metric, observation.labels))
                self._gone.discard((database, metric, observation.labels))
            times.append(latest[1])
        self._forget_oldest((database, metric), len(seen) + max(KEPT_VANISHED, len(seen)))
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
            tokens = self._known.setdefault((database, metric), {})
            series = _LABELS.validate_json(labels)
            if series not in tokens or tokens[series][0] == token:
                tokens[series] = (token, changed_at)
        if damaged:
            _log.error("tokens in the state file are damaged; they count as missing", rows=damaged)
            self._rewrites = True
            self.forget_file()
        else:
            self._watched.update(file.execute("SELECT * FROM watched").fetchall())

    def write(self, file: sqlite3.Connection) -> None:
        """Write what the file does not have yet; what fails is tried again next time.

        Raises:
            sqlite3.Error: the file cannot be written.
        """
        rows = [(*_row_key(key), *self._known[key[:2]][key[2]]) for key in self._unwritten]
        with transaction(file):
            if self._rewrites:
                file.execute("DELETE FROM token")
                file.execute("DELETE FROM watched")
            file.executemany(
                "DELETE FROM token WHERE database = ? AND metric = ? AND labels = ?",
                [_row_key(key) for key in self._gone],
            )
            file.executemany(
                "INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?, ?, ?)",
                [(*row, checksum(*row)) for row in rows],
            )
            file.executemany(
                "INSERT OR IGNORE INTO watched VALUES (?, ?)", list(self._unwritten_watched)
            )
        self._unwritten.clear()
        self._gone.clear()
        self._unwritten_watched.clear()
        self._rewrites = False

    def forget_file(self) -> None:
        """Write everything that is known next time: the file is another one."""
        for metric, tokens in self._known.items():
            self._unwritten.update((*metric, labels) for labels in tokens)
        self._unwritten_watched.update(self._watched)

    def _forget_oldest(self, metric: MetricKey, most: int) -> None:
        tokens = self._known[metric]
        for labels in list(tokens)[: max(len(tokens) - most, 0)]:
            del tokens[labels]
            key = (*metric, labels)
            self._unwritten.discard(key)
            self._gone.add(key)
        if len(self._gone) > _MOST_GONE:  # the file cannot be written
            self._gone.clear()
            self._rewrites = True
            self.forget_file()


def _row_key(key: TokenKey) -> tuple[str, str, str]:
    """Return a key as the columns of the file have it."""
    database, metric, labels = key
    return database, metric, _LABELS.dump_json(labels).decode()

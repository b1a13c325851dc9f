"""What gauges said before the deployment, of those that are to be remembered.

A value counts as from before only when a later look at the history of migrations found none of
them applied: between two looks nobody knows.
"""

import json
from typing import NamedTuple

import structlog

from exporter.catalog import Catalog, Query
from exporter.collect.board import Board, Snapshot
from exporter.collect.snapshot import Samples
from exporter.state import StateStore
from exporter.statements.memory import Owner

TOPIC = "baseline gauges"

_RUN_SECONDS = 2.0
"""A value is as old as the end of its run; what it says may have been read a little earlier."""

_OWNER = "owner"

_log = structlog.get_logger(__name__)


class Taken(NamedTuple):
    """What one query said of its gauges, and the Unix time at which it did."""

    at: float
    samples: Samples


class Gauges:
    """The last values of each query's gauges that are known to be from before the deployment."""

    def __init__(self, store: StateStore, database: str, catalog: Catalog) -> None:
        self._store = store
        self._database = database
        self._queries = catalog.queries
        self._known: dict[str, Taken] = {}
        self._pending: dict[str, Taken] = {}

    @property
    def known(self) -> tuple[Taken, ...]:
        """What each query said, as far as it is known to be from before."""
        return tuple(self._known.values())

    def begin(self, owner: Owner) -> None:
        """Go on with what was written down of this database; drop what is of another one."""
        self._known, self._pending = {}, {}
        written = self._store.load(self._database, TOPIC)
        try:
            if _OWNER in written and Owner(*json.loads(written.pop(_OWNER))).is_same(owner):
                self._known = {query: _taken(text) for query, text in written.items()}
                return
        except (TypeError, ValueError) as error:
            _log.error("gauges from before cannot be read", reason=str(error))
        if self._store.version(self._database, TOPIC) is not None:  # else: unreadable, not empty
            self._store.save(self._database, TOPIC, {_OWNER: json.dumps(owner)}, replace=True)

    def look(self, board: Board, clear_at: float) -> None:
        """Take in what the board shows.

        Args:
            board: with the latest snapshot of each query.
            clear_at: the Unix time of the last look that found no migration applied.
        """
        changed: dict[str, str | None] = {}
        for query in self._queries:
            now = take(board[query.name], query)
            if now is None:
                continue
            # What waits is not replaced by what is newer, or it might wait for ever.
            waiting = self._pending.setdefault(query.name, now)
            sure = [each for each in (waiting, now) if each.at <= clear_at - _RUN_SECONDS]
            if sure:
                self._known[query.name] = newest = max(sure, key=lambda taken: taken.at)
                del self._pending[query.name]
                changed[query.name] = _text(newest)
        if changed:
            self._store.save(self._database, TOPIC, changed)


def take(snapshot: Snapshot, query: Query) -> Taken | None:
    """Return what a query says now of its gauges that are to be remembered.

    None if there are none, or if it gave no answer lately.
    """
    names = [name for name, metric in query.metrics.items() if metric.baseline]
    if not names or not snapshot.state or not snapshot.state.is_success:
        return None
    samples = {name: snapshot.samples.get(name, {}) for name in names}
    return Taken(snapshot.last_success_at or 0.0, samples)


def _text(taken: Taken) -> str:
    samples = {name: list(series.items()) for name, series in taken.samples.items()}
    return json.dumps([taken.at, samples])


def _taken(text: str) -> Taken:
    at, samples = json.loads(text)
    return Taken(
        at,
        {
            name: {tuple(labels): value for labels, value in series}
            for name, series in samples.items()
        },
    )

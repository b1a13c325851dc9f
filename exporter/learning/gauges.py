"""What gauges said before the deployment, of those that are to be remembered.

A value counts as from before only when a later look at the history of migrations found none of
them applied: between two looks nobody knows.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import structlog

from exporter.baseline import artefact
from exporter.catalog import AnyQuery, Catalog
from exporter.collect.snapshot import Samples, Snapshot
from exporter.collect.store import SnapshotStore
from exporter.database.identity import DatabaseIdentity
from exporter.state import StateStore

TOPIC = "baseline gauges"

_RUN_SECONDS = 2.0
"""A look is dated to the end of its run; the history may have been read that much earlier."""

_NAME = "taken"

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
        self._queries = catalog.all_queries
        self._owner: DatabaseIdentity | None = None
        self._known: dict[str, Taken] = {}
        self._pending: dict[str, Taken] = {}
        self._is_written = True

    @property
    def known(self) -> tuple[Taken, ...]:
        """What each query said, as far as it is known to be from before."""
        return tuple(self._known.values())

    def begin(self, owner: DatabaseIdentity) -> None:
        """Go on with what was written down of this database; leave what is of another one."""
        self._owner, self._known, self._pending, self._is_written = owner, {}, {}, True
        text = self._store.read(self._database, TOPIC, _NAME)
        try:
            of, known = json.loads(text) if text else (None, {})
            if of and DatabaseIdentity(*of).is_same(owner):
                names = {query.name for query in self._queries}
                self._known = {name: _taken(known[name]) for name in names & known.keys()}
        except (AttributeError, TypeError, ValueError) as error:
            _log.error("gauges from before cannot be read", reason=str(error))

    def look(self, board: SnapshotStore, clear_at: float) -> None:
        """Take in what the board shows.

        Args:
            board: with the latest snapshot of each query.
            clear_at: the Unix time of the last look that found no migration applied.
        """
        for query in self._queries:
            now = take(board[query.name], query)
            if now is None or now == self._known.get(query.name):
                continue
            # What waits is not replaced by what is newer, or it might wait for ever.
            waiting = self._pending.setdefault(query.name, now)
            sure = [each for each in (waiting, now) if each.at <= clear_at - _RUN_SECONDS]
            if sure:
                self._known[query.name] = max(sure, key=lambda taken: taken.at)
                del self._pending[query.name]
                self._is_written = False
        if not self._is_written:
            self._write()

    def clear(self) -> None:
        """Forget all values."""
        if self._known:
            self._known, self._pending = {}, {}
            self._write()

    def _write(self) -> None:
        text = json.dumps([self._owner, {name: _row(taken) for name, taken in self._known.items()}])
        self._is_written = self._store.save(self._database, TOPIC, {_NAME: text})


def take(snapshot: Snapshot, query: AnyQuery) -> Taken | None:
    """Return what a query says now of its gauges that are to be remembered.

    None if there are none, or if it gave no answer lately.
    """
    names = [name for name, metric in query.metrics.items() if metric.baseline]
    if not names or not snapshot.state or not snapshot.state.is_success:
        return None
    samples = {name: snapshot.samples.get(name, {}) for name in names}
    return Taken(snapshot.last_success_at or 0.0, samples)


def gauges_of(taken: Iterable[Taken]) -> tuple[artefact.Gauge, ...]:
    """Return gauges as a baseline holds them; one that several queries feed is put together."""
    series: dict[str, dict[tuple[str, ...], float]] = {}
    taken_at: dict[str, float] = {}
    for each in taken:
        for metric, values in each.samples.items():
            series.setdefault(metric, {}).update(values)
            taken_at[metric] = min(each.at, taken_at.get(metric, each.at))
    return tuple(
        artefact.Gauge(
            metric=metric,
            series=tuple(
                artefact.GaugeSeries(labels=labels, value=value) for labels, value in values.items()
            ),
            taken_at=datetime.fromtimestamp(taken_at[metric], UTC),
        )
        for metric, values in series.items()
    )


def _row(taken: Taken) -> list[object]:
    return [taken.at, {name: list(series.items()) for name, series in taken.samples.items()}]


def _taken(row: list[Any]) -> Taken:
    at, samples = row
    return Taken(
        at,
        {
            name: {tuple(labels): value for labels, value in series}
            for name, series in samples.items()
        },
    )

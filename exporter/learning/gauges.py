"""The values of gauges before the deployment, of those with `baseline: true`.

A value counts as from before only if a later look at the history of migrations found none of them
applied: between two looks it is not known.
"""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from exporter.baseline import artefact
from exporter.catalog import AnyQuery, Catalog
from exporter.collect.snapshot import Snapshot
from exporter.collect.store import SnapshotStore
from exporter.state import Scope, Table, Topic

_RUN_SECONDS = 2.0
"""A look is dated to the end of its run; the history may have been read that much earlier."""


class Taken(NamedTuple):
    """The gauges of one query, by metric and labels, and the Unix time at which they were read."""

    at: float
    samples: dict[str, Table[tuple[str, ...], float]]


GAUGES: Topic[Taken] = Topic("baseline gauges", Taken)
"""By query."""


class Gauges:
    """The last values of each query's gauges that are known to be from before the deployment."""

    def __init__(self, catalog: Catalog) -> None:
        """Begin without any values; `begin` reads those of a database."""
        self._queries = catalog.all_queries
        self._scope: Scope | None = None
        self._known: dict[str, Taken] = {}
        self._pending: dict[str, Taken] = {}
        self._is_written = True

    @property
    def known(self) -> tuple[Taken, ...]:
        """The values of each query that are known to be from before."""
        return tuple(self._known.values())

    def begin(self, scope: Scope) -> None:
        """Go on with what is written of a database."""
        self._scope, self._pending, self._is_written = scope, {}, True
        names = {query.name for query in self._queries}
        self._known = {name: taken for name, taken in GAUGES.load(scope).items() if name in names}

    def record(self, snapshots: SnapshotStore, clear_at: float) -> None:
        """Take in the latest values.

        Args:
            snapshots: with the latest snapshot of each query.
            clear_at: the Unix time of the last look that found no migration applied.
        """
        for query in self._queries:
            now = taken_from(snapshots[query.name], query)
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
        if self._scope:
            self._is_written = GAUGES.save(self._scope, self._known, replace=True)


def taken_from(snapshot: Snapshot, query: AnyQuery) -> Taken | None:
    """Return the gauges of a query that are to be remembered.

    None if there are none, or if the last run failed.
    """
    names = [name for name, metric in query.metrics.items() if metric.baseline]
    if not names or not snapshot.state or not snapshot.state.is_success:
        return None
    samples = {
        name: {
            labels: value
            for labels, value in snapshot.samples.get(name, {}).items()
            if math.isfinite(value)  # with any other, nothing can be compared
        }
        for name in names
    }
    return Taken(snapshot.last_success_at or 0.0, samples)


def gauges_of(taken: Iterable[Taken]) -> tuple[artefact.Gauge, ...]:
    """Return gauges as a baseline has them; those of several queries with one name are merged."""
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

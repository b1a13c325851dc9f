"""Counts of each hour, before the deployment and after it, of the metrics that a rate names.

Of a counter an hour has the increase; of a gauge with a window of an hour it has the last value.
"""

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from exporter.catalog import Catalog
from exporter.clock import Clock
from exporter.collect.store import SnapshotStore
from exporter.state import Scope, Table, Topic

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT_HOURS = 35 * 24
"""Four weeks before the deployment, and the week after it."""

Labels = tuple[str, ...]


class CountedHour(NamedTuple):
    """What was counted from the Unix time `start` on, by metric and labels."""

    start: float
    counts: dict[str, Table[Labels, float]]


COUNTED: Topic[CountedHour] = Topic("counted hours", CountedHour)
"""By the beginning of the hour."""


class CountedHours:
    """Adds up what the queries count, hour by hour; used on the worker of the state."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        """Begin without any hour; `begin` reads those of a database."""
        conditions = catalog.deployment.conditions()
        rates = [condition.rate for _, condition in conditions if condition.rate]
        known = catalog.metrics()
        self._is_counter = {
            series.metric: known[series.metric].type == "counter"
            for rate in rates
            for series in (rate.of, rate.over)
            if series.metric in known
        }
        self._clock = clock
        self._scope: Scope | None = None
        self._hours: dict[str, CountedHour] = {}
        self._last: dict[str, Mapping[Labels, float]] = {}
        self._taken: dict[str, float] = {}
        self._server_start: datetime | None = None
        self._not_before = float("-inf")
        """`time.monotonic()` at which another server was seen; what was taken earlier is
        of the one before."""

    @property
    def hours(self) -> tuple[CountedHour, ...]:
        """All hours, the earliest first."""
        return tuple(sorted(self._hours.values(), key=lambda hour: hour.start))

    def record(
        self,
        scope: Scope,
        snapshots: SnapshotStore,
        server_start: datetime,
        settled_at: float | None,
    ) -> None:
        """Add what was counted since the last time.

        Args:
            scope: of the database; hours of another one are left behind.
            snapshots: with the latest snapshot of each query.
            server_start: when the server was started. After a failover it is another server, whose
                counters hold a lifetime of its own: counting begins at what they are then.
            settled_at: Unix time of the end of the warm-up: an hour is cut in two there.
        """
        if self._scope is None or self._scope.key != scope.key:
            self._scope, self._hours = scope, COUNTED.load(scope)
            self._last, self._taken = {}, {}
        if server_start != self._server_start:
            if self._server_start is not None:
                self._last, self._not_before = {}, self._clock.monotonic()
            self._server_start = server_start
        now = self._clock.now()
        start = self._clock.start_of_hour(now)
        if settled_at is not None and start < settled_at <= now:
            start = settled_at
        looked = {metric: self._new(metric, snapshots) for metric in self._is_counter}
        new = {metric: counts for metric, counts in looked.items() if counts}
        if not new:
            return
        key = repr(start)
        hour = self._hours.setdefault(key, CountedHour(start, {}))
        for metric, counts in new.items():
            added = hour.counts.setdefault(metric, {})
            for labels, value in counts.items():
                base = added.get(labels, 0.0) if self._is_counter[metric] else 0.0
                added[labels] = base + value
        oldest = now - KEPT_HOURS * self._clock.hour_seconds
        old = [each for each, known in self._hours.items() if known.start < oldest]
        for each in old:
            del self._hours[each]
        COUNTED.save(scope, {key: hour, **dict.fromkeys(old)})

    def _new(self, metric: str, snapshots: SnapshotStore) -> dict[Labels, float]:
        """Return the increase of each series since the last look; of a gauge, its value."""
        found: dict[Labels, float] = {}
        for snapshot in snapshots.of_metric(metric):
            place = f"{snapshot.query}/{metric}"
            is_new = self._not_before < snapshot.taken != self._taken.get(place)
            if not (snapshot.state and snapshot.state.is_success and is_new):
                continue
            self._taken[place] = snapshot.taken
            series = snapshot.samples.get(metric, {})
            last, self._last[place] = self._last.get(place), series
            if not self._is_counter[metric]:
                found.update(series)
            elif last is not None:
                for labels, value in series.items():
                    grown = value - last.get(labels, 0.0)
                    found[labels] = grown if grown >= 0 else value  # it was reset
        return found

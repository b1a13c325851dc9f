"""Snapshots and the state of the daemon, as families of samples for prometheus_client."""

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from exporter import __version__
from exporter.catalog import Metric as QueryMetric
from exporter.collect.store import SnapshotStore
from exporter.database.database import Database
from exporter.database.outcome import State
from exporter.reload import Reloaded
from exporter.state import StateStore


@dataclass(frozen=True, slots=True)
class Sources:
    """What /metrics is made of."""

    board: SnapshotStore
    database: Database
    store: StateStore
    interval_seconds: Mapping[str, float]
    reloads: Sequence[Reloaded[Any]] = ()


def build_registry(sources: Sources, telemetry: CollectorRegistry) -> CollectorRegistry:
    """Add to the daemon's own counts all else that is exposed; collecting touches memory only."""
    telemetry.register(QueryCollector(sources.board, sources.database.name))
    telemetry.register(_StatusCollector(sources))
    for library in (ProcessCollector, PlatformCollector, GCCollector):
        library(registry=telemetry)
    return telemetry


class QueryCollector(Collector):
    """What the queries say: families are made anew each time, so a series that is gone is gone."""

    def __init__(self, board: SnapshotStore, database: str) -> None:
        self._board = board
        self._database = database

    def describe(self) -> Iterator[Metric]:
        """Yield the families without samples."""
        for name, metric in self._board.metrics.items():
            yield _family(name, metric)

    def collect(self) -> Iterator[Metric]:
        """Yield the families with the samples that are fresh now."""
        now = time.monotonic()
        for name, metric in self._board.metrics.items():
            family = _family(name, metric)
            keys = ("database", *metric.labels)
            for snapshot in self._board.of_metric(name):
                for labels, value in snapshot.fresh_samples(now).get(name, {}).items():
                    family.add_sample(
                        name, dict(zip(keys, (self._database, *labels), strict=True)), value
                    )
            yield family


class _StatusCollector(Collector):
    """How the daemon, its database and each query are doing."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def describe(self) -> Iterator[Metric]:
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        yield from self._exporter()
        yield from self._reloads()
        yield from self._database()
        yield from self._queries()

    def _exporter(self) -> Iterator[Metric]:
        build = InfoMetricFamily(
            "loom_exporter_build", "Version of loom-exporter and of the Python that runs it."
        )
        build.add_metric([], {"version": __version__, "python_version": platform.python_version()})
        yield build
        yield GaugeMetricFamily(
            "loom_exporter_state_persistent",
            "Whether what was observed outlives a restart of the exporter.",
            value=0.0 if self._sources.store.problem else 1.0,
        )
        set_aside = GaugeMetricFamily(
            "loom_exporter_state_set_aside_timestamp_seconds",
            "Unix time at which a corrupt state file was last set aside, while it is kept.",
        )
        if self._sources.store.set_aside_at is not None:
            set_aside.add_metric([], self._sources.store.set_aside_at)
        yield set_aside

    def _reloads(self) -> Iterator[Metric]:
        successful = GaugeMetricFamily(
            "loom_exporter_config_last_reload_successful",
            "Whether the files are in force as they are now; if not, those of before still are.",
            labels=("what",),
        )
        loaded_at = GaugeMetricFamily(
            "loom_exporter_config_last_reload_success_timestamp_seconds",
            "Time at which the files that are in force were read.",
            labels=("what",),
        )
        for reloaded in self._sources.reloads:
            successful.add_metric([reloaded.what], 0.0 if reloaded.problem else 1.0)
            loaded_at.add_metric([reloaded.what], reloaded.loaded_at)
        yield from (successful, loaded_at)

    def _database(self) -> Iterator[Metric]:
        database = self._sources.database
        up = self._gauge(
            "loom_database_up", "Whether the database answered when it was last asked."
        )
        if database.is_up is not None:
            up.add_metric([database.name], float(database.is_up))
        yield up
        pool = self._gauge(
            "loom_exporter_pool_connections",
            "Connections to the database, by what they do.",
            "state",
        )
        status = database.status
        pool.add_metric([database.name, "busy"], status.busy)
        pool.add_metric([database.name, "idle"], status.idle)
        yield pool

    def _queries(self) -> Iterator[Metric]:
        state = self._gauge(
            "loom_exporter_query_state",
            "State in which the last run of the query ended.",
            "query",
            "state",
        )
        success = self._gauge(
            "loom_exporter_query_last_success_timestamp_seconds",
            "Time of the last run that got an answer, be it that there are no rows.",
            "query",
        )
        interval = self._gauge(
            "loom_exporter_query_interval_seconds", "Time between two runs of the query.", "query"
        )
        series = self._gauge(
            "loom_exporter_query_series", "Series of the query that are shown now.", "query"
        )
        now = time.monotonic()
        for snapshot in self._sources.board.latest():
            labels = [self._sources.database.name, snapshot.query]
            for each in State:
                state.add_metric([*labels, each], float(snapshot.state is each))
            if snapshot.last_success_at:
                success.add_metric(labels, snapshot.last_success_at)
            interval.add_metric(labels, self._sources.interval_seconds[snapshot.query])
            series.add_metric(labels, sum(map(len, snapshot.fresh_samples(now).values())))
        yield from (state, success, interval, series)

    @staticmethod
    def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, documentation, labels=("database", *labels))


def _family(name: str, metric: QueryMetric) -> Metric:
    make: dict[str, Callable[[str, str], Metric]] = {
        "gauge": GaugeMetricFamily,
        "change_timestamp": GaugeMetricFamily,
        "counter": lambda name, text: CounterMetricFamily(name.removesuffix("_total"), text),
        "info": lambda name, text: InfoMetricFamily(name.removesuffix("_info"), text),
    }
    return make[metric.type](name, metric.help)

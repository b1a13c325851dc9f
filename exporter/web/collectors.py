"""Snapshots and the state of the daemon, as families of samples for prometheus_client."""

import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from exporter import __version__
from exporter.catalog import Metric
from exporter.catalog.own_metrics import one_hot, own_metrics
from exporter.collect.snapshot import Samples, unlabelled
from exporter.collect.store import SnapshotStore
from exporter.database.database import Database
from exporter.reload import Reloaded
from exporter.state import StateStore


@dataclass(frozen=True, slots=True)
class Sources:
    """What /metrics is made of."""

    snapshots: SnapshotStore
    database: Database
    store: StateStore
    interval_seconds: Mapping[str, float]
    reloads: Sequence[Reloaded[Any]] = ()
    pack: Samples = field(default_factory=dict)
    """What deployment.yaml says."""


def build_registry(sources: Sources, telemetry: CollectorRegistry) -> CollectorRegistry:
    """Add to the counts of the runs all else that is served; collecting touches memory only."""
    telemetry.register(QueryCollector(sources.snapshots, sources.database.name))
    telemetry.register(_StatusCollector(sources))
    for library in (ProcessCollector, PlatformCollector, GCCollector):
        library(registry=telemetry)
    return telemetry


class QueryCollector(Collector):
    """The fresh samples of all snapshots: each family is made from nothing at every scrape."""

    def __init__(self, snapshots: SnapshotStore, database: str) -> None:
        self._snapshots = snapshots
        self._database = database

    def describe(self) -> Iterator[Family]:
        """Yield the families without samples."""
        for name, metric in self._snapshots.metrics.items():
            yield _family(name, metric, ())

    def collect(self) -> Iterator[Family]:
        """Yield the families with the samples that are fresh now."""
        now = time.monotonic()
        for name, metric in self._snapshots.metrics.items():
            series = [
                snapshot.fresh_samples(now).get(name, {})
                for snapshot in self._snapshots.of_metric(name)
            ]
            yield _family(name, metric, series, self._database)


class _StatusCollector(Collector):
    """The state of the process, of its database and of each query."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def describe(self) -> Iterator[Family]:
        return self.collect()

    def collect(self) -> Iterator[Family]:
        metrics = own_metrics()
        for name, series in self._of_process().items():
            yield _family(name, metrics[name], [series])
        of_database = {**self._of_database(), **self._of_queries(), **self._sources.pack}
        for name, series in of_database.items():
            yield _family(name, metrics[name], [series], self._sources.database.name)

    def _of_process(self) -> Samples:
        store, reloads = self._sources.store, self._sources.reloads
        return {
            "loom_exporter_build_info": {(__version__, platform.python_version()): 1.0},
            "loom_exporter_state_persistent": {(): 0.0 if store.problem else 1.0},
            "loom_exporter_state_set_aside_timestamp_seconds": unlabelled(store.set_aside_at),
            "loom_exporter_config_last_reload_successful": {
                (each.what,): 0.0 if each.problem else 1.0 for each in reloads
            },
            "loom_exporter_config_last_reload_success_timestamp_seconds": {
                (each.what,): each.loaded_at for each in reloads
            },
        }

    def _of_database(self) -> Samples:
        is_up, pool = self._sources.database.is_up, self._sources.database.status
        return {
            "loom_database_up": unlabelled(is_up),
            "loom_exporter_pool_connections": {("busy",): pool.busy, ("idle",): pool.idle},
        }

    def _of_queries(self) -> Samples:
        now = time.monotonic()
        snapshots = self._sources.snapshots.latest()
        states: dict[tuple[str, ...], float] = {}
        for each in snapshots:
            states |= one_hot("loom_exporter_query_state", each.state, each.query)
        return {
            "loom_exporter_query_state": states,
            "loom_exporter_query_last_success_timestamp_seconds": {
                (each.query,): each.last_success_at for each in snapshots if each.last_success_at
            },
            "loom_exporter_query_interval_seconds": {
                (each.query,): self._sources.interval_seconds[each.query] for each in snapshots
            },
            "loom_exporter_query_series": {
                (each.query,): sum(map(len, each.fresh_samples(now).values())) for each in snapshots
            },
        }


def _family(
    name: str,
    metric: Metric,
    series: Iterable[Mapping[tuple[str, ...], float]],
    *database: str,
) -> Family:
    """Return the metric with its samples; `database` is the value of that label, if it has one."""
    family = Family(metric.family(name), metric.help, metric.exposed_type)
    labels = ("database", *metric.labels) if database else metric.labels
    for samples in series:
        for values, value in samples.items():
            family.add_sample(name, dict(zip(labels, (*database, *values), strict=True)), value)
    return family

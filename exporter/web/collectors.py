"""Snapshots and the state of the daemon, as families of samples for prometheus_client."""

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from exporter import __version__
from exporter.catalog import Metric
from exporter.catalog.own_metrics import one_hot, own_metrics
from exporter.collect.snapshot import Samples, Snapshot, unlabelled
from exporter.collect.store import SnapshotStore
from exporter.collect.telemetry import Runs, Telemetry
from exporter.database.database import Database
from exporter.state import StateStore


@dataclass(frozen=True, eq=False)
class Sources:
    """What /metrics says of one database is made of this."""

    snapshots: SnapshotStore
    telemetry: Telemetry
    database: Database
    interval_seconds: Mapping[str, float]

    @cached_property
    def queries(self) -> "Sequence[QueryCollector]":
        """The collectors of the queries, always the same ones."""
        return [QueryCollector(self, each.query) for each in self.snapshots.latest()]


class Reload(Protocol):
    """What is read again while the exporter runs; see `Reloaded`."""

    what: str
    problem: str | None
    loaded_at: float


@dataclass(frozen=True, slots=True)
class Process:
    """What /metrics says of the process is made of this."""

    store: StateStore
    reloads: Callable[[], Iterable[Reload]] = list


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """What the families of a query were made from; the same objects make the same families."""

    snapshot: Snapshot
    samples: Samples
    runs: Runs

    def is_same_as(self, other: "Version | None") -> bool:
        """Whether nothing has been replaced between the two."""
        return (
            other is not None
            and self.snapshot is other.snapshot
            and self.samples is other.samples
            and self.runs is other.runs
        )


class QueryCollector(Collector):
    """The fresh samples of one query, its state and its runs."""

    def __init__(self, sources: Sources, query: str) -> None:
        self._sources = sources
        self.name = query
        self._metrics = sources.snapshots.metrics_of(query)

    @property
    def version(self) -> Version:
        """What `collect` would be made from now."""
        snapshot = self._sources.snapshots[self.name]
        fresh = snapshot.fresh_samples(time.monotonic())
        return Version(snapshot, fresh, self._sources.telemetry.of(self.name))

    def collect(self) -> Iterator[Family]:
        """Yield the families; one without samples is yielded for its type and help."""
        version = self.version
        database = self._sources.database.name
        yield from sample_families(self._metrics, version.samples, database)
        own = own_metrics()
        for name, series in {**self._state(version), **_runs(self.name, version.runs)}.items():
            yield _family(name, own[name], series, database)
        yield _durations(database, self.name, version.runs)

    def _state(self, version: Version) -> Samples:
        query, snapshot = self.name, version.snapshot
        return {
            "loom_exporter_query_state": one_hot(
                "loom_exporter_query_state", snapshot.state, query
            ),
            "loom_exporter_query_last_success_timestamp_seconds": (
                {(query,): snapshot.last_success_at} if snapshot.last_success_at else {}
            ),
            "loom_exporter_query_interval_seconds": {
                (query,): self._sources.interval_seconds[query]
            },
            "loom_exporter_query_series": {(query,): sum(map(len, version.samples.values()))},
        }


def sample_families(
    metrics: Mapping[str, Metric], samples: Samples, database: str
) -> Iterator[Family]:
    """Yield each metric with its samples, of which there may be none."""
    for name, metric in metrics.items():
        yield _family(name, metric, samples.get(name, {}), database)


def _runs(query: str, runs: Runs) -> Samples:
    return {
        "loom_exporter_query_runs_total": {(query,): runs.total},
        "loom_exporter_query_failures_total": {
            (query, state): number for state, number in runs.failures.items()
        },
        "loom_exporter_query_skipped_total": {
            (query, reason): number for reason, number in runs.skipped.items()
        },
        "loom_exporter_query_series_dropped_total": {(query,): runs.dropped},
    }


def _durations(database: str, query: str, runs: Runs) -> Family:
    name = "loom_exporter_query_duration_seconds"
    metric = own_metrics()[name]
    family = HistogramMetricFamily(name, metric.help, labels=("database", *metric.labels))
    family.add_metric((database, query), runs.buckets, runs.seconds)
    return family


class StatusCollector(Collector):
    """The state of the process and of its databases."""

    def __init__(self, process: Process, databases: Sequence[Database]) -> None:
        self._process = process
        self._databases = databases

    def describe(self) -> Iterator[Family]:
        """Yield the families; they are always the same."""
        return self.collect()

    def collect(self) -> Iterator[Family]:
        """Yield the families with the state of now."""
        metrics = own_metrics()
        for name, series in self._of_process().items():
            yield _family(name, metrics[name], series)
        yield from _merged(self._of_databases())

    def _of_process(self) -> Samples:
        store = self._process.store
        reloads: dict[str, list[Reload]] = {}
        for each in self._process.reloads():
            reloads.setdefault(each.what, []).append(each)
        return {
            "loom_exporter_build_info": {(__version__, platform.python_version()): 1.0},
            "loom_exporter_state_persistent": {(): 0.0 if store.problem else 1.0},
            "loom_exporter_state_set_aside_timestamp_seconds": unlabelled(store.set_aside_at),
            # Of several databases the worst counts.
            "loom_exporter_config_last_reload_successful": {
                (what,): 0.0 if any(each.problem for each in those) else 1.0
                for what, those in reloads.items()
            },
            "loom_exporter_config_last_reload_success_timestamp_seconds": {
                (what,): min(each.loaded_at for each in those) for what, those in reloads.items()
            },
        }

    def _of_databases(self) -> Iterator[Family]:
        metrics = own_metrics()
        for database in self._databases:
            pool = database.status
            of_one: Samples = {
                "loom_database_up": unlabelled(database.is_up),
                "loom_exporter_pool_connections": {("busy",): pool.busy, ("idle",): pool.idle},
            }
            for name, series in of_one.items():
                yield _family(name, metrics[name], series, database.name)


class Families(Collector):
    """These families."""

    def __init__(self, *families: Family) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        """Return the families."""
        return self._families


class Served(Collector):
    """All that /metrics shows; collecting touches memory only."""

    def __init__(self, process: Process, databases: Sequence[Sources]) -> None:
        self.databases = databases
        self.process = CollectorRegistry()
        """What may change at any time, and has no version."""
        self.process.register(StatusCollector(process, [each.database for each in databases]))
        for library in (ProcessCollector, PlatformCollector, GCCollector):
            library(registry=self.process)

    @property
    def queries(self) -> list[QueryCollector]:
        """The collectors of all queries of all databases."""
        return [query for each in self.databases for query in each.queries]

    def collect(self) -> Iterable[Family]:
        """Return each family once, with the samples of all queries."""
        collectors: list[Collector] = [*self.queries, self.process]
        return _merged(family for each in collectors for family in each.collect())


def _merged(families: Iterable[Family]) -> Iterable[Family]:
    """Return each family once, with the samples of all that have its name."""
    found: dict[str, Family] = {}
    for family in families:
        known = found.setdefault(family.name, family)
        if known is not family:
            known.samples.extend(family.samples)
    return found.values()


def _family(
    name: str, metric: Metric, series: Mapping[tuple[str, ...], float], *database: str
) -> Family:
    """Return the metric with its samples; `database` is the value of that label, if it has one."""
    family = Family(metric.family(name), metric.help, metric.exposed_type)
    labels = ("database", *metric.labels) if database else metric.labels
    for values, value in series.items():
        family.add_sample(name, dict(zip(labels, (*database, *values), strict=True)), value)
    return family

"""Counts of the runs, as metrics of prometheus_client in a registry of our own."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from exporter.catalog.own_metrics import fixed_values, own_metrics
from exporter.collect.source import MetricSource
from exporter.database.outcome import State

# A `_created` series beside each counter would double them for nothing.
disable_created_metrics()  # type: ignore[no-untyped-call]

_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Telemetry:
    """Counts runs, failures and skipped runs; every series of every query exists from the start."""

    def __init__(self, database: str, sources: Iterable[MetricSource]) -> None:
        # Not every collector describes what it collects, and `name[]` needs to know.
        self.registry = CollectorRegistry(auto_describe=True)
        self._database = database
        self._runs = self._counter("loom_exporter_query_runs_total")
        self._failures = self._counter("loom_exporter_query_failures_total")
        self._skipped = self._counter("loom_exporter_query_skipped_total")
        self._dropped = self._counter("loom_exporter_query_series_dropped_total")
        duration = own_metrics("runs")["loom_exporter_query_duration_seconds"]
        self._duration = Histogram(
            "loom_exporter_query_duration_seconds",
            duration.help,
            ("database", *duration.labels),
            buckets=_BUCKETS_SECONDS,
            registry=self.registry,
        )
        for query in sources:
            self._runs.labels(database, query.name)
            self._dropped.labels(database, query.name)
            self._duration.labels(database, query.name)
            for state in fixed_values("loom_exporter_query_failures_total"):
                self._failures.labels(database, query.name, state)
            for reason in fixed_values("loom_exporter_query_skipped_total"):
                self._skipped.labels(database, query.name, reason)

    def _counter(self, name: str) -> Counter:
        metric = own_metrics("runs")[name]
        return Counter(name, metric.help, ("database", *metric.labels), registry=self.registry)

    def ran(self, query: MetricSource, state: State, duration_seconds: float, dropped: int) -> None:
        """Count one run."""
        self._runs.labels(self._database, query.name).inc()
        self._duration.labels(self._database, query.name).observe(duration_seconds)
        self._dropped.labels(self._database, query.name).inc(dropped)
        if state.is_failure:
            self._failures.labels(self._database, query.name, state).inc()

    def skipped(self, query: MetricSource, reason: str) -> None:
        """Count one run that did not take place; for the reasons, see own_metrics.yaml."""
        self._skipped.labels(self._database, query.name, reason).inc()

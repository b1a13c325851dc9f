"""Counts what the daemon does, as Prometheus metrics in a registry of its own."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from exporter.collect.source import MetricSource
from exporter.database.outcome import State

# A `_created` series beside each counter would double them for nothing.
disable_created_metrics()  # type: ignore[no-untyped-call]

SKIP_REASONS = ("running", "backoff", "misfire")

_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Telemetry:
    """Counts runs, failures and skipped runs; every series of every query exists from the start."""

    def __init__(self, database: str, sources: Iterable[MetricSource]) -> None:
        # Not every collector describes what it collects, and `name[]` needs to know.
        self.registry = CollectorRegistry(auto_describe=True)
        self._database = database
        of_query = ("database", "query")
        self._runs = Counter(
            "loom_exporter_query_runs",
            "Runs of the query, however they ended.",
            of_query,
            registry=self.registry,
        )
        self._failures = Counter(
            "loom_exporter_query_failures",
            "Runs of the query that failed, by state.",
            (*of_query, "state"),
            registry=self.registry,
        )
        self._skipped = Counter(
            "loom_exporter_query_skipped",
            "Runs that did not take place: the one before still went on, the query backs off after "
            "failures, or the scheduler was late.",
            (*of_query, "reason"),
            registry=self.registry,
        )
        self._dropped = Counter(
            "loom_exporter_query_series_dropped",
            "Series beyond the series_limit of the query, at most; they were cut off.",
            of_query,
            registry=self.registry,
        )
        self._duration = Histogram(
            "loom_exporter_query_duration_seconds",
            "Time that a run took, with the wait for a connection.",
            of_query,
            buckets=_BUCKETS_SECONDS,
            registry=self.registry,
        )
        for query in sources:
            self._runs.labels(database, query.name)
            self._dropped.labels(database, query.name)
            self._duration.labels(database, query.name)
            for state in State:
                if state.is_failure:
                    self._failures.labels(database, query.name, state)
            for reason in SKIP_REASONS:
                self._skipped.labels(database, query.name, reason)

    def ran(self, query: MetricSource, state: State, duration_seconds: float, dropped: int) -> None:
        """Count one run."""
        self._runs.labels(self._database, query.name).inc()
        self._duration.labels(self._database, query.name).observe(duration_seconds)
        self._dropped.labels(self._database, query.name).inc(dropped)
        if state.is_failure:
            self._failures.labels(self._database, query.name, state).inc()

    def skipped(self, query: MetricSource, reason: str) -> None:
        """Count one run that was skipped; `reason` is one of SKIP_REASONS."""
        self._skipped.labels(self._database, query.name, reason).inc()

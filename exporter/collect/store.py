"""The latest snapshot of each query and job, for readers on any thread."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from exporter.catalog import HttpQuery
from exporter.collect.snapshot import NO_SAMPLES, NO_TOKENS, Samples, Snapshot, Tokens
from exporter.collect.source import MetricSource
from exporter.run_state import RunError, State

if TYPE_CHECKING:
    from exporter.catalog import Metric


class SnapshotStore:
    """The latest snapshot of each query.

    One task writes, readers on any thread read: a snapshot is immutable and is replaced by a
    single assignment.
    """

    def __init__(
        self, sources: Sequence[MetricSource], max_age_seconds: Mapping[str, float]
    ) -> None:
        """Begin with an empty snapshot for each query."""
        self._snapshots: dict[str, Snapshot] = {}
        self._sources: dict[str, list[str]] = {}
        self._metrics = {source.name: source.metrics for source in sources}
        self.metrics: dict[str, Metric] = {}
        """Every metric by name; sources that share one define it alike."""
        for source in sources:
            self._snapshots[source.name] = Snapshot(source.name, max_age_seconds[source.name])
            for name, metric in source.metrics.items():
                self._sources.setdefault(name, []).append(source.name)
                self.metrics.setdefault(name, metric)
        self._awaited = [each.name for each in sources if not isinstance(each, HttpQuery)]
        self.generation = 0
        """Grows with each change: anything rendered before is current while it stays."""

    def __getitem__(self, query: str) -> Snapshot:
        return self._snapshots[query]

    def latest(self) -> tuple[Snapshot, ...]:
        """Return the latest snapshot of each query, by name."""
        return tuple(self._snapshots.values())

    def of_metric(self, metric: str) -> tuple[Snapshot, ...]:
        """Return the snapshots of the queries that feed `metric`."""
        return tuple(self._snapshots[query] for query in self._sources.get(metric, ()))

    def metrics_of(self, query: str) -> Mapping[str, "Metric"]:
        """Return the metrics that `query` feeds, by name."""
        return self._metrics[query]

    @property
    def is_complete(self) -> bool:
        """Whether every query has been tried, but for those of HTTP sources, which may hang."""
        return all(self._snapshots[query].state for query in self._awaited)

    def publish(
        self, query: str, state: State, samples: Samples, tokens: Tokens = NO_TOKENS
    ) -> None:
        """Replace the samples and tokens of `query`.

        Raises:
            RunError: `error`, another query shows a sample with the same name and labels. Shown
                twice, it would break the whole page for Prometheus.
            ValueError: a metric that is not declared, so that its samples would not be served.
        """
        if undeclared := samples.keys() - self.metrics.keys():
            raise ValueError(f"not declared: {', '.join(sorted(undeclared))}")
        now = time.monotonic()
        for metric, series in samples.items():
            for other in self.of_metric(metric):
                shown = other.fresh_samples(now).get(metric, {})
                if other.query != query and not series.keys().isdisjoint(shown):
                    raise RunError(
                        State.ERROR,
                        f"{metric}: query {other.query} has a sample with the same labels",
                    )
        old = self._snapshots[query]
        self._replace(
            Snapshot(query, old.max_age_seconds, state, "", samples, now, time.time(), tokens)
        )

    def fail(self, query: str, state: State, detail: str) -> None:
        """Note that `query` failed; its samples stay if the state keeps them (`keeps_values`)."""
        old = self._snapshots[query]
        samples = old.samples if state.keeps_values else NO_SAMPLES
        self._replace(replace(old, state=state, detail=detail, samples=samples))

    def _replace(self, snapshot: Snapshot) -> None:
        self._snapshots[snapshot.query] = snapshot
        self.generation += 1

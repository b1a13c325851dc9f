"""Counts of the runs of each query."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate

from exporter.catalog.own_metrics import fixed_values
from exporter.collect.source import MetricSource
from exporter.run_state import State

BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of a run's duration, without the last, which is infinite."""


def _none_of(name: str) -> Mapping[str, int]:
    """Return zero for each value of the last label, so that every series exists from the start."""
    return dict.fromkeys(fixed_values(name), 0)


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of one query since the start. Immutable, so that any thread may read it."""

    total: int = 0
    dropped: int = 0
    """Series beyond the limit of the query."""
    failures: Mapping[str, int] = field(
        default_factory=lambda: _none_of("loom_exporter_query_failures_total")
    )
    """By state."""
    skipped: Mapping[str, int] = field(
        default_factory=lambda: _none_of("loom_exporter_query_skipped_total")
    )
    """Runs that did not take place, by reason."""
    seconds: float = 0.0
    durations: tuple[int, ...] = (0,) * (len(BUCKETS_SECONDS) + 1)
    """How many runs took at most so long, and longer than the bucket before."""

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """The histogram as Prometheus has it: upper bound, and runs up to it."""
        bounds = [*map(str, BUCKETS_SECONDS), "+Inf"]
        return list(zip(bounds, accumulate(self.durations), strict=True))


class Telemetry:
    """Counts runs, failures and skipped runs of each query."""

    def __init__(self, sources: Iterable[MetricSource]) -> None:
        self._runs = {source.name: Runs() for source in sources}

    def of(self, query: str) -> Runs:
        """Return the runs of a query until now; the same object while none is added."""
        return self._runs[query]

    def ran(self, query: MetricSource, state: State, duration_seconds: float, dropped: int) -> None:
        """Count one run."""
        runs = self._runs[query.name]
        durations = list(runs.durations)
        durations[bisect_left(BUCKETS_SECONDS, duration_seconds)] += 1
        failures = {**runs.failures}
        if state.is_failure:
            failures[state] += 1
        self._runs[query.name] = replace(
            runs,
            total=runs.total + 1,
            dropped=runs.dropped + dropped,
            failures=failures,
            seconds=runs.seconds + duration_seconds,
            durations=tuple(durations),
        )

    def skipped(self, query: MetricSource, reason: str) -> None:
        """Count one run that did not take place; for the reasons, see own_metrics.yaml."""
        runs = self._runs[query.name]
        skipped = {**runs.skipped, reason: runs.skipped[reason] + 1}
        self._runs[query.name] = replace(runs, skipped=skipped)

"""The samples of one query's last run, and the state in which it ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from exporter.run_state import State

_Labels = TypeVar("_Labels", bound=tuple[str, ...])

Samples = Mapping[str, Mapping[tuple[str, ...], float]]
"""Metric → label values → value. A mapping, so that no label set can stand twice."""

Tokens = Mapping[str, Mapping[tuple[str, ...], str]]
"""Metric → label values → token, of each change_timestamp."""

NO_SAMPLES: Samples = MappingProxyType({})
NO_TOKENS: Tokens = MappingProxyType({})


def columns(names: Sequence[str], rows: Mapping[_Labels, Sequence[float | None]]) -> Samples:
    """Return the samples of metrics that have the same labels, without those that are None.

    Args:
        names: of the metrics, in the order of the values in a row.
        rows: label values → a value for each metric.
    """
    samples: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in names}
    for labels, row in rows.items():
        for name, value in zip(names, row, strict=True):
            if value is not None:
                samples[name][labels] = value
    return samples


def unlabelled(value: float | None) -> Mapping[tuple[str, ...], float]:
    """Return the one sample of a metric without labels; none if the value is None."""
    return {} if value is None else {(): value}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The samples of one query, and its state. Immutable: a new run makes a new one.

    Times ending in `_at` are Unix times. `taken` is `time.monotonic()`, so that setting the clock
    neither expires values nor revives them. `samples` may be older than the last run: a query that
    was locked keeps them.
    """

    query: str
    max_age_seconds: float
    state: State | None = None
    detail: str = ""
    samples: Samples = field(default_factory=lambda: NO_SAMPLES)
    taken: float = 0.0
    last_success_at: float | None = None
    tokens: Tokens = field(default_factory=lambda: NO_TOKENS)
    """What the change timestamps date; never served."""

    @property
    def expires(self) -> float:
        """`time.monotonic()` after which the samples are too old to be shown."""
        return self.taken + self.max_age_seconds

    def fresh_samples(self, now: float) -> Samples:
        """Return the samples, or none if they are too old at `now` (`time.monotonic()`)."""
        return self.samples if now <= self.expires else NO_SAMPLES

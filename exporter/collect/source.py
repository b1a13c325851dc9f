"""What feeds metrics: a query, or whatever else is asked of the database in a rhythm."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from exporter.catalog import Metric
from exporter.collect.snapshot import Samples
from exporter.database.outcome import State


class MetricSource(Protocol):
    """A source of metrics: its name is the value of the label `query`."""

    @property
    def name(self) -> str:
        """The name, unlike that of any other."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics by name."""


class RunResult(NamedTuple):
    """What one run says; `dropped` counts series that were cut off."""

    state: State
    samples: Samples
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """A feed that is no query, and how it is asked: `ask` may raise RunError."""

    name: str
    metrics: Mapping[str, Metric]
    interval_seconds: float
    ask: Callable[[], Awaitable[RunResult]]

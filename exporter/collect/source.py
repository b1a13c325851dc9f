"""What metrics come from: queries, and jobs that run at an interval too."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from exporter.catalog import Metric
from exporter.collect.snapshot import NO_TOKENS, Samples, Tokens
from exporter.run_state import State


class MetricSource(Protocol):
    """A source of metrics; its name is the value of the label `query`."""

    @property
    def name(self) -> str:
        """The name; no other source has it."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics by name."""


class RunResult(NamedTuple):
    """The samples of one run; `dropped` counts the series beyond the limit."""

    state: State
    samples: Samples
    dropped: int = 0
    tokens: Tokens = NO_TOKENS


@dataclass(frozen=True, slots=True)
class Job:
    """A source that is no query, and how it is run: `ask` may raise RunError."""

    name: str
    metrics: Mapping[str, Metric]
    interval_seconds: float
    ask: Callable[[], Awaitable[RunResult]]

"""All that a verdict rests on, gathered at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exporter.baseline.comparison import ClassChange
from exporter.baseline.deployed import Deployed
from exporter.collect.board import Board
from exporter.collect.snapshot import Samples
from exporter.verdict.sign_offs import SignOff


@dataclass(frozen=True, slots=True)
class Before:
    """The baseline, as far as the verdict needs it. Times are Unix times."""

    gauges: Samples
    """The gauges that are remembered."""
    began_at: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known at one moment: `now` is its Unix time, `ticks` its `time.monotonic()`."""

    now: float
    ticks: float
    board: Board
    deployed: Deployed
    before: Before | None = None
    """None without a baseline."""
    classes: Mapping[str, ClassChange] = field(default_factory=dict)
    sign_offs: Mapping[str, SignOff] = field(default_factory=dict)

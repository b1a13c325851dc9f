"""All that a verdict rests on, gathered at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exporter.collect.snapshot import Samples
from exporter.collect.store import SnapshotStore
from exporter.comparison.comparison import ClassResult
from exporter.deployment.progress import DeploymentProgress
from exporter.deployment.sign_offs import SignOff
from exporter.deployment.suite_results import SuiteRecord


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
    board: SnapshotStore
    deployed: DeploymentProgress
    before: Before | None = None
    """None without a baseline."""
    classes: Mapping[str, ClassResult] = field(default_factory=dict)
    sign_offs: Mapping[str, SignOff] = field(default_factory=dict)
    suites: Mapping[str, SuiteRecord] = field(default_factory=dict)

"""How far the deployment has come, and its metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from exporter.catalog import Metric
from exporter.collect.snapshot import Samples

METRICS: Mapping[str, Metric] = {
    "loom_deployment_timestamp_seconds": Metric(
        type="gauge",
        help="Unix time at which the last migration of the phase was applied; absent until then, "
        "and where nobody looked at the time.",
        labels=("phase",),
        value="at",
    ),
    "loom_deployment_warmup_active": Metric(
        type="gauge",
        help="Whether a phase was applied so recently that caches are cold and times mean little.",
        value="active",
    ),
    "loom_deployment_history_rewritten_timestamp_seconds": Metric(
        type="gauge",
        help="Unix time at which migrations were last seen to be gone from the history.",
        value="at",
    ),
}


class PhaseProgress(NamedTuple):
    """One phase: whether all of its migrations are applied, and since when (Unix time).

    `is_applied` is None while that is not known. `at` is None before the phase is applied, and
    where it was applied before the first look.
    """

    is_applied: bool | None = None
    at: float | None = None


@dataclass(frozen=True, slots=True)
class DeploymentProgress:
    """How far the deployment has come. Times are Unix times.

    `began_at` is when its first migration appeared, `ended_at` when the last one did or, if that
    is later, when the rollout of the application was marked; None while it is not known.
    `settled_at` is the end of the warm-up that follows.
    """

    phases: Mapping[str, PhaseProgress]
    has_begun: bool | None = None
    """Whether any of its migrations is applied; None while that is not known."""
    began_at: float | None = None
    ended_at: float | None = None
    settled_at: float | None = None
    rewritten_at: float | None = None
    """When migrations were last seen to be gone from the history."""

    @property
    def is_complete(self) -> bool:
        """Whether every phase is applied."""
        return bool(self.phases) and all(phase.is_applied for phase in self.phases.values())

    def is_warming_up(self, now: float) -> bool:
        """Return whether a phase was applied so recently that times mean little."""
        return self.settled_at is not None and now < self.settled_at

    def samples(self, now: float) -> Samples:
        """Return the samples of `METRICS`."""
        warmup = None if self.has_begun is None else float(self.is_warming_up(now))
        values: tuple[Mapping[tuple[str, ...], float | None], ...] = (
            {(name,): phase.at for name, phase in self.phases.items()},
            {(): warmup},
            {(): self.rewritten_at},
        )
        return {
            name: {labels: value for labels, value in series.items() if value is not None}
            for name, series in zip(METRICS, values, strict=True)
        }

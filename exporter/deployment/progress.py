"""How far the deployment has come, and the samples that say so."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from exporter.collect.snapshot import Samples, unlabelled


class RolledBack(NamedTuple):
    """When a phase was rolled back (Unix time), who said so, and why; empty if it was only seen."""

    at: float
    by: str = ""
    reason: str = ""


class PhaseProgress(NamedTuple):
    """One phase: whether all of its migrations are applied, and since when (Unix time).

    `is_applied` is None while that is not known. `at` is None before that, and where it was applied
    before the first look at the history. A phase that was rolled back is not applied.
    """

    is_applied: bool | None = None
    at: float | None = None
    rolled_back: RolledBack | None = None


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
    """When migrations were last found missing from the history."""
    follows_rollback_at: float | None = None
    """When a phase was rolled back that was rolled out again since."""

    @property
    def is_complete(self) -> bool:
        """Whether every phase is applied."""
        return bool(self.phases) and all(phase.is_applied for phase in self.phases.values())

    @property
    def rolled_back(self) -> Mapping[str, RolledBack]:
        """The phases that are rolled back, by name."""
        return {name: seen.rolled_back for name, seen in self.phases.items() if seen.rolled_back}

    def is_warming_up(self, now: float) -> bool:
        """Return whether a phase was applied so recently that speed is not judged."""
        return self.settled_at is not None and now < self.settled_at

    def as_begun(self) -> "DeploymentProgress":
        """Return a progress by which what is there now is judged, whenever it was looked at."""
        return DeploymentProgress(dict.fromkeys(self.phases, PhaseProgress(True)), has_begun=True)

    def since_rollbacks(self) -> "DeploymentProgress":
        """Return a progress by which each phase that was rolled back is judged since then."""
        phases = {
            name: PhaseProgress(True, seen.rolled_back.at) if seen.rolled_back else seen
            for name, seen in self.phases.items()
        }
        return replace(self, phases=phases)

    def samples(self, now: float) -> Samples:
        """Return the samples of the own metrics in section `deployment`."""
        warmup = None if self.has_begun is None else float(self.is_warming_up(now))
        return {
            "loom_deployment_timestamp_seconds": {
                (name,): phase.at for name, phase in self.phases.items() if phase.at is not None
            },
            "loom_deployment_rolled_back_timestamp_seconds": {
                (name,): rolled_back.at for name, rolled_back in self.rolled_back.items()
            },
            "loom_deployment_warmup_active": unlabelled(warmup),
            "loom_deployment_history_rewritten_timestamp_seconds": unlabelled(self.rewritten_at),
        }

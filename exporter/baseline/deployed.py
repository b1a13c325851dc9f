"""Whether, and when, each phase of the deployment was seen to be applied."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class PhaseSeen(NamedTuple):
    """One phase: whether all of its migrations are applied, and since when (Unix time).

    `is_applied` is None while that is not known. `at` is None before, and where the phase was
    applied at some time before anybody looked.
    """

    is_applied: bool | None = None
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Deployed:
    """How far the deployment has come. Times are Unix times.

    `began_at` is when its first migration appeared, `ended_at` when the last one did or, if that
    is later, when the rollout of the application was marked; None as long as it is not known.
    `settled_at` is the end of the warm-up that follows.
    """

    phases: Mapping[str, PhaseSeen]
    has_begun: bool | None = None
    """Whether any of its migrations is applied; None while that is not known."""
    began_at: float | None = None
    ended_at: float | None = None
    settled_at: float | None = None

    @property
    def is_complete(self) -> bool:
        """Whether every phase is applied."""
        return bool(self.phases) and all(phase.is_applied for phase in self.phases.values())

    def is_warming_up(self, now: float) -> bool:
        """Return whether a phase was applied so recently that times mean little."""
        return self.settled_at is not None and now < self.settled_at

"""What one condition comes to."""

from dataclasses import dataclass

from exporter.deployment.records import Outcome


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """The outcome of one condition, and the line that says why."""

    outcome: Outcome
    evidence: str
    phases: tuple[str, ...] = ()
    """The phases to blame if it fails."""
    selector: str = ""
    """What was looked at, in PromQL; empty where the evidence names it already."""
    is_signed: bool = False
    """Whether it is the word of a person, or waits for one."""
    is_needed: bool = True
    """Whether a pass waits for it."""

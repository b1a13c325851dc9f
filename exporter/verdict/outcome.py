"""What the decision rule says of a class: pass, fail, or nothing yet."""

from dataclasses import dataclass
from typing import NamedTuple

from exporter.comparison.rule import (
    GREATEST_BASELINE_ERROR,
    IMPROVED,
    LEAST_CALLS,
    LEAST_COVERAGE,
    PAGE,
    SLOWER,
    Change,
)
from exporter.deployment.records import Outcome


class Judgement(NamedTuple):
    """An outcome, and why, in a few words."""

    outcome: Outcome
    reason: str


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


def verdict_of(change: Change | None, coverage: float | None) -> Judgement:
    """Judge all calls since the deployment; no data is neither pass nor fail.

    Args:
        change: since the deployment settled; None if there was no call.
        coverage: seconds of statements with a baseline over all seconds; None without any.
    """
    if change is None or coverage is None:
        return Judgement(Outcome.INCONCLUSIVE, "no calls of statements with a baseline")
    doubt = _doubt(change, coverage)
    if doubt:
        return Judgement(Outcome.INCONCLUSIVE, doubt)
    found = (
        f"{change.ratio:.2f} times the baseline, between {change.lower:.2f} and {change.upper:.2f}"
    )
    if change.ratio > SLOWER and change.lower > 1.0 and change.z_raw > PAGE.z_raw:
        return Judgement(Outcome.FAIL, found)
    if change.upper <= IMPROVED:
        return Judgement(Outcome.PASS, f"{found}, so at least {1 - IMPROVED:.0%} faster")
    if change.upper <= SLOWER:
        return Judgement(Outcome.PASS, found)
    return Judgement(Outcome.INCONCLUSIVE, f"too early to tell: {found}")


def _doubt(change: Change, coverage: float) -> str | None:
    if change.calls < LEAST_CALLS:
        return f"only {change.calls} calls, {LEAST_CALLS} at least"
    if coverage <= LEAST_COVERAGE:
        return f"a baseline is known for {coverage:.0%} of the time, not for {LEAST_COVERAGE:.0%}"
    if change.baseline_error > GREATEST_BASELINE_ERROR:
        return (
            f"the baseline is uncertain by {change.baseline_error:.0%},"
            f" {GREATEST_BASELINE_ERROR:.0%} at most"
        )
    return None

"""Whether a class of statements has become slower."""

from enum import StrEnum
from typing import NamedTuple

from exporter.baseline.rule import Change

_SLOWER = 1.2
_LEAST_CALLS = 5
_LEAST_COVERAGE = 0.8
_LEAST_RAW_Z = 1.5


class Outcome(StrEnum):
    """What can be said of a deployment, or of a part of it."""

    PASS = "pass"  # noqa: S105  an outcome, no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class Judgement(NamedTuple):
    """An outcome, and why, in a few words for whoever decides."""

    outcome: Outcome
    reason: str


def verdict_of(change: Change | None, coverage: float | None) -> Judgement:
    """Judge all calls since the deployment; no data is neither pass nor fail."""
    if change is None or coverage is None or change.calls < _LEAST_CALLS:
        return Judgement(Outcome.INCONCLUSIVE, "too few calls of statements with a baseline")
    if coverage <= _LEAST_COVERAGE:
        return Judgement(
            Outcome.INCONCLUSIVE, f"a baseline is known for {coverage:.0%} of the time only"
        )
    found = (
        f"{change.ratio:.2f} times the baseline, between {change.lower:.2f} and {change.upper:.2f}"
    )
    if change.ratio > _SLOWER and change.lower > 1.0 and change.z_raw > _LEAST_RAW_Z:
        return Judgement(Outcome.FAIL, found)
    if change.upper <= _SLOWER:
        return Judgement(Outcome.PASS, found)
    return Judgement(Outcome.INCONCLUSIVE, f"too early to tell: {found}")

"""The limits of a value: a number, the baseline, or another metric; and how to write them."""

import math
from typing import NamedTuple

from exporter.catalog.criteria import BASELINE, Condition
from exporter.verdict.evidence import Evidence, Labels, matching, trusted_series
from exporter.wording import number, share

CLOCKS_DIFFER_SECONDS = 300.0
"""A time that lies further in the future is no time: milliseconds, say, or of a wrong clock."""


class Bound(NamedTuple):
    """The limits of a value, and how to write them."""

    least: float
    most: float
    text: str

    def holds(self, value: float) -> bool:
        """Return whether a value lies within the limits; NaN does not."""
        return self.least <= value <= self.most

    def miss(self, value: float) -> float:
        """Return how far a value lies outside."""
        return max(self.least - value, value - self.most)


def bound_of(condition: Condition, labels: Labels, since: float, evidence: Evidence) -> Bound | str:
    """Return the limits of a series, or why they are not known.

    Args:
        condition: with a comparison of numbers or times.
        labels: of the series.
        since: Unix time; what was read before does not count.
        evidence: what is known.
    """
    kind, against = condition.comparison
    if kind == "newer_than":
        return Bound(evidence.now - float(against), evidence.now + CLOCKS_DIFFER_SECONDS, "")
    if not isinstance(against, str):
        limit, text = against, number(against)
    else:
        reference = (
            _required_before(condition, labels, evidence)
            if against == BASELINE
            else _value_of(against, since, evidence)
        )
        if isinstance(reference, str):
            return reference
        allowance = abs(reference) * condition.by
        limit = reference + (allowance if kind == "not_above" else -allowance)
        text = number(limit)
        if against != BASELINE:
            text += f", {against} is {number(reference)}"
        elif condition.by:
            text += f", {share(condition.by)} tolerated"
    if kind in ("at_least", "not_below", "present"):
        return Bound(limit, math.inf, f"at least {text}")
    if kind in ("at_most", "not_above"):
        return Bound(-math.inf, limit, f"at most {text}")
    return Bound(limit, limit, text)


def value_before(condition: Condition, labels: Labels, evidence: Evidence) -> float | None:
    """Return the value of a series, or of the sum, in the baseline; None if it has none."""
    series = series_before(condition, evidence)
    if condition.sum:
        return math.fsum(series.values()) if series else None
    return series.get(labels)


def series_before(condition: Condition, evidence: Evidence) -> dict[Labels, float]:
    """Return the series of the condition's metric in the baseline, by label values."""
    metric = condition.metric or ""
    if evidence.before is None:
        return {}
    names = evidence.snapshots.metrics[metric].labels
    return matching(names, evidence.before.gauges.get(metric, {}), condition.labels)


def _required_before(condition: Condition, labels: Labels, evidence: Evidence) -> float | str:
    if evidence.before is None:
        return "there is no baseline"
    value = value_before(condition, labels, evidence)
    return "the baseline does not have it" if value is None else value


def _value_of(metric: str, since: float, evidence: Evidence) -> float | str:
    found = trusted_series(metric, {}, since, evidence)
    return found.series.get((), "; ".join(found.doubts))

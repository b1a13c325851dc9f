"""Whether events have become more frequent: the share of trials, against the same hours before."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from exporter.clock import hour_of_day

LEAST_EVENTS = 10
"""Fewer events than this are chance."""
LEAST_TRIALS = 30
"""Of fewer trials nothing can be said, before or after."""
LEAST_RATIO = 1.5
"""A share that grew by less is no reason to roll back."""

Z_ALL = 3.09
Z_DAY = 3.09
Z_HOUR = 5.0
"""An hour is looked at 168 times in a week, so it needs stronger evidence."""


class Trials(NamedTuple):
    """How many of how many."""

    events: float = 0.0
    trials: float = 0.0

    def plus(self, other: "Trials") -> "Trials":
        """Return the sum of both."""
        return Trials(self.events + other.events, self.trials + other.trials)

    @property
    def share(self) -> float:
        """Events over trials; 0 without trials."""
        return self.events / self.trials if self.trials > 0 else 0.0


class Excess(NamedTuple):
    """Events since the deployment, and the share that was expected of them."""

    seen: Trials
    expected_share: float
    z: float
    """Standard errors between both shares (pooled two-proportion test, overdispersed)."""

    @property
    def is_large(self) -> bool:
        """Whether there are enough events, and enough more than before."""
        enough = self.seen.events >= LEAST_EVENTS
        return enough and self.seen.share > LEAST_RATIO * self.expected_share


def total(hours: Mapping[int, list[Trials]]) -> Trials:
    """Return the sum over all hours."""
    found = Trials()
    for several in hours.values():
        for each in several:
            found = found.plus(each)
    return found


def excess(before: Mapping[int, list[Trials]], after: Mapping[int, list[Trials]]) -> Excess:
    """Compare the share of events with that of the same hours before.

    Args:
        before: the hours of the baseline, by hour of the week; at least one trial.
        after: the hours since the deployment, likewise.
    """
    base, seen = total(before), total(after)
    by_day: defaultdict[int, Trials] = defaultdict(Trials)
    by_week: defaultdict[int, Trials] = defaultdict(Trials)
    for hour, several in before.items():
        for each in several:
            by_week[hour] = by_week[hour].plus(each)
            by_day[hour_of_day(hour)] = by_day[hour_of_day(hour)].plus(each)
    expected = 0.0
    for hour, several in after.items():
        known = (by_week[hour], by_day[hour_of_day(hour)], base)
        like = next(each for each in known if each.trials >= LEAST_TRIALS or each is base)
        expected += like.share * sum(each.trials for each in several)
    expected_share = expected / seen.trials if seen.trials > 0 else base.share
    pooled = Trials(expected_share * base.trials, base.trials).plus(seen).share
    variance = pooled * (1 - pooled) * (1 / base.trials + 1 / max(seen.trials, 1.0))
    error = math.sqrt(_overdispersion(before, base.share) * variance)
    z = (seen.share - expected_share) / error if error > 0 else 0.0
    return Excess(seen, expected_share, z)


def _overdispersion(before: Mapping[int, list[Trials]], share: float) -> float:
    """Return how much more the hours differ than by chance: Pearson's χ² over its degrees, ≥ 1."""
    if not 0 < share < 1:
        return 1.0
    hours = [each for several in before.values() for each in several if each.trials > 0]
    chi2 = sum(
        (each.events - share * each.trials) ** 2 / (share * (1 - share) * each.trials)
        for each in hours
    )
    return max(chi2 / (len(hours) - 1), 1.0) if len(hours) > 1 else 1.0

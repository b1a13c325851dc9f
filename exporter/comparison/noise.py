"""What a baseline knows of its statements, and how uncertain that is, from the hours it saw.

An hour here is a bucket of the baseline, whatever its length.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from exporter.comparison.robust import robust_stddev as robust_stddev
from exporter.comparison.rule import LEAST_CALLS, Noise, Sums, spread
from exporter.statements.counters import Delta, combine

DEFAULT_HOUR_LOG_STDDEV = 0.1
"""τ where no two hours can be compared, and the least τ where few can: 10 %, which is usual."""

# One hour in so many is left out of the variance, the one that spread most, so that one wait for
# a lock before the deployment does not hide every slow-down after it.
_TRIMMED_ONE_IN = 20
_TRIMMED_FROM = 10
# With fewer hours, chance alone makes some baselines look so even that noise pages later.
_ENOUGH_HOURS = 10


class Profile(NamedTuple):
    """How a statement was before the deployment. Per call, in seconds and seconds squared."""

    calls: int
    mean_seconds: float
    """m, over all calls."""
    variance: float
    """s², without the hours that spread most."""
    whole_variance: float
    """The same over all hours, for the error of the mean."""


def profile(hours: Sequence[Delta]) -> Profile:
    """Return what the hours in which a statement was called say of it.

    The variance is within hours and between them (Chan, Golub and LeVeque, 1979), less one hour in
    20 where there are 10 or more. Of one single call nothing is known but its time, which then
    stands for its standard deviation as well.

    Args:
        hours: at least one, each with at least one call.
    """
    ordered = sorted(hours, key=lambda hour: hour.squared_deviation)
    trimmed = max(len(ordered) // _TRIMMED_ONE_IN, 1) if len(ordered) >= _TRIMMED_FROM else 0
    kept = combine(ordered[: len(ordered) - trimmed])
    whole = combine([kept, *ordered[len(ordered) - trimmed :]])
    return Profile(whole.calls, whole.seconds / whole.calls, _variance(kept), _variance(whole))


def noise(profiles: Iterable[Profile], hours: Iterable[Sums], hours_each: float = 1.0) -> Noise:
    """Return how uncertain the baseline of a class is.

        τ² = max(Q(ln R_b)² - median(v_raw_b/T_b²), 0)
        ε² = Σ n·s² / (Σ n·m)² + τ²/k          k the number of hours

    over the hours b that have enough calls, and not less than `DEFAULT_HOUR_LOG_STDDEV` where
    there are fewer than 10 of them. Q is the estimator of the standard deviation by Rousseeuw and
    Croux (1993); the median absolute deviation, which bears as many odd hours, needs twice as many
    hours to be as sure, and noise pages twice as often after it.

    Args:
        profiles: of the statements of the class.
        hours: for each hour, the sums of its calls against these profiles.
        hours_each: how long each of them really is, in hours. The noise between minutes says
            little of that between hours: parts of an hour are as good as their sum.
    """
    hours_each = min(hours_each, 1.0)
    seen = [sums for sums in hours if sums.seconds > 0 and sums.expected_seconds > 0]
    enough = [sums for sums in seen if sums.calls >= LEAST_CALLS]
    squared_stddev = _hour_variance(enough, hours_each)
    variance = expected = 0.0
    for known in profiles:
        variance += known.calls * known.whole_variance
        expected += known.calls * known.mean_seconds
    squared_error = squared_stddev / max(len(seen) * hours_each, 1.0)
    if expected > 0:
        squared_error += variance / expected**2
    return Noise(math.sqrt(squared_error), math.sqrt(squared_stddev))


def _hour_variance(hours: Sequence[Sums], hours_each: float) -> float:
    """Return τ²: what is left of the hours' spread without that of their calls."""
    least = DEFAULT_HOUR_LOG_STDDEV**2 if len(hours) * hours_each < _ENOUGH_HOURS else 0.0
    if len(hours) < 2:
        return least
    stddev = robust_stddev([math.log(sums.seconds / sums.expected_seconds) for sums in hours])
    of_calls = statistics.median(spread(sums) / sums.seconds**2 for sums in hours)
    return max(stddev**2 - of_calls, least)


def _variance(hours: Delta) -> float:
    if hours.calls == 1:
        return hours.seconds**2
    return hours.squared_deviation / (hours.calls - 1)

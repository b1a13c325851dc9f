"""Standard deviations that a few odd values cannot spoil.

Qn is about the first quartile of the distances between any two values, made unbiased for normal
ones (Rousseeuw and Croux, 1993). The median absolute deviation, which resists as many odd values,
needs twice as many of them to be as certain.
"""

import statistics
from collections.abc import Sequence
from itertools import combinations

_QN = 2.2219
# What makes Qn unbiased for so few values; for more there is a formula (Croux and Rousseeuw, 1992).
_QN_SMALL = {2: 0.399, 3: 0.994, 4: 0.512, 5: 0.844, 6: 0.611, 7: 0.857, 8: 0.669, 9: 0.872}

_BISECTIONS = 20
_LEAST_VARIANCE = 1e-18  # Nothing is divided by zero.


def robust_stddev(values: Sequence[float]) -> float:
    """Return Qn, a standard deviation that up to half of the values cannot spoil.

    Args:
        values: two at least.
    """
    distances = sorted(abs(one - other) for one, other in combinations(values, 2))
    return _scale(len(values)) * distances[_rank(len(values)) - 1]


def stddev_between(values: Sequence[float], variances: Sequence[float]) -> float:
    """Return τ, the standard deviation between values beyond the error of each.

    The τ at which the values y, centred on their median, have a Qn of 1 once each is divided by
    its own standard error (the idea of Paule and Mandel, 1982, with a robust scale):

        Qn(y_b / sqrt(v_b + τ²)) = 1

    and 0 if Qn is below 1 without any τ. It does not matter that some values are much less certain
    than others: at night there are few calls.

    Args:
        values: two at least.
        variances: v_b, the squared standard error of each value.
    """
    centre = statistics.median(values)
    centred = [value - centre for value in values]
    if _is_at_most_one(centred, variances, 0.0):
        return 0.0
    least, most = 0.0, _QN * (max(values) - min(values))
    for _ in range(_BISECTIONS):
        middle = (least + most) / 2
        if _is_at_most_one(centred, variances, middle):
            most = middle
        else:
            least = middle
    return most


def _is_at_most_one(values: Sequence[float], variances: Sequence[float], tau: float) -> bool:
    """Return whether Qn of the standardised values is at most 1, by counting pairs that are close.

    Equal to computing Qn, but for n values in the time of sorting n, not n²/2.
    """
    ordered = sorted(
        value / (variance + tau**2 + _LEAST_VARIANCE) ** 0.5
        for value, variance in zip(values, variances, strict=True)
    )
    limit = 1 / _scale(len(ordered))
    close = first = 0
    for number, value in enumerate(ordered):
        while value - ordered[first] > limit:
            first += 1
        close += number - first
    return close >= _rank(len(ordered))


def _scale(count: int) -> float:
    return _QN * (_QN_SMALL.get(count) or count / (count + (1.4 if count % 2 else 3.8)))


def _rank(count: int) -> int:
    """Return which of the sorted distances is Qn, from 1."""
    half = count // 2 + 1
    return half * (half - 1) // 2

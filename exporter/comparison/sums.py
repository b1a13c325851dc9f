"""What calls of statements with a baseline add up to: the numbers that everything is decided on.

The alert rules compute with the same six sums, as counters (`alerts/rules/statements.yaml`).
"""

from typing import NamedTuple

from exporter.statements.counters import Delta


class Sums(NamedTuple):
    """What calls of statements with a baseline add up to. Grows only. Times are in seconds.

    For each poll and statement with n new calls of total time t and squared deviations q about
    their own mean, against a baseline of mean m and variance s².
    """

    calls: int = 0
    """N, the sum of n."""
    seconds: float = 0.0
    """T, the sum of t."""
    expected_seconds: float = 0.0
    """E, the sum of n·m."""
    expected_squared: float = 0.0
    """S, the sum of n·m²."""
    expected_variance: float = 0.0
    """W, the sum of n·s²."""
    deviation: float = 0.0
    """D, the sum of q + n·(t/n - m)²: of (x - m)² over all calls, x being the time of one."""

    def plus(self, other: "Sums") -> "Sums":
        """Return the sums of both."""
        return Sums(
            self.calls + other.calls,
            self.seconds + other.seconds,
            self.expected_seconds + other.expected_seconds,
            self.expected_squared + other.expected_squared,
            self.expected_variance + other.expected_variance,
            self.deviation + other.deviation,
        )

    @property
    def excess_seconds(self) -> float:
        """T - E, what the calls took beyond their expectation."""
        return self.seconds - self.expected_seconds


def contribution(delta: Delta, mean_seconds: float, variance: float) -> Sums:
    """Return what new calls of one statement add to the sums.

    Args:
        delta: the new calls, at least one.
        mean_seconds: m, of a call in the baseline.
        variance: s², of a call in the baseline, in seconds squared.
    """
    calls, seconds = delta.calls, delta.seconds
    return Sums(
        calls,
        seconds,
        calls * mean_seconds,
        calls * mean_seconds**2,
        calls * variance,
        delta.squared_deviation + calls * (seconds / calls - mean_seconds) ** 2,
    )


def spread(sums: Sums) -> float:
    """Return the variance of all calls together about their shifted means, in seconds squared.

        v_raw = max(D - (R-1)²·S, 0) · N/(N-1)

    A single call shows no spread: its whole deviation stands for it.
    """
    if sums.calls == 1 or not sums.expected_seconds > 0:
        return sums.deviation
    shift = sums.seconds / sums.expected_seconds - 1
    return unbiased(sums.deviation - shift**2 * sums.expected_squared, sums.calls)


def excess_spread(sums: Sums) -> float:
    """Return the variance of the excess of all calls about the mean excess, in seconds squared.

    max(D - (T-E)²/N, 0) · N/(N-1)
    """
    if sums.calls == 1:
        return sums.deviation
    return unbiased(sums.deviation - sums.excess_seconds**2 / sums.calls, sums.calls)


def relative_variance(sums: Sums) -> float:
    """Return the squared relative error of T by the spread of calls.

        max(v_raw, R²·W) / T²

    so never less than by the baseline's own spread.

    Args:
        sums: with T and E above 0.
    """
    ratio = sums.seconds / sums.expected_seconds
    return max(spread(sums), ratio**2 * sums.expected_variance) / sums.seconds**2


def unbiased(squared_deviation: float, calls: int) -> float:
    """Return N times the variance of a call, from the sum over N calls, at least two."""
    return max(squared_deviation, 0.0) * calls / (calls - 1)

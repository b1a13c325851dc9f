"""The decision rule: is a class of statements slower than its baseline, beyond size and noise?

Six sums grow with each poll; everything else follows from them, here and, by the same formulas, in
the alert rules (`alerts/rules/`). A test holds the two together.
"""

from typing import NamedTuple


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
    """D, the sum of q + n·(t/n - m)²."""


class Noise(NamedTuple):
    """How uncertain a baseline is: both are relative, on a logarithmic scale."""

    relative_error: float = 0.0
    """ε, the standard error of the expected time."""
    hour_log_stddev: float = 0.0
    """τ, how much an hour differs from the next although nothing has changed."""


class Change(NamedTuple):
    """How a class compares with its baseline."""

    ratio: float
    """R, actual over expected time."""
    lower: float
    """R if noise has worked against us, at the confidence of `rule.CONFIDENCE_Z`."""
    upper: float
    """R if noise has worked for us."""
    z: float
    """How many standard errors ln R is away from 0."""
    z_raw: float
    """The same without a floor; at most 1 where one single call explains the excess."""
    calls: int
    seconds: float
    expected_seconds: float

"""The decision rule: is a class of statements slower than its baseline, beyond size and noise?

Six sums grow with each poll; everything else follows from them, here and, by the same formulas, in
the alert rules, which take their limits and windows from this module (`alerts/rule-templates/`). A
test holds the formulas of the two together. `bench/bench_decision_rule.py` simulates the rule. No
clock, no network: numbers in, a decision out.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from exporter.clock import HOURS_OF_A_DAY as HOURS_OF_A_DAY
from exporter.comparison.sums import Sums as Sums
from exporter.comparison.sums import contribution as contribution
from exporter.comparison.sums import excess_spread
from exporter.comparison.sums import spread as spread


class Noise(NamedTuple):
    """How uncertain a baseline is: both are relative, on a logarithmic scale."""

    relative_error: float = 0.0
    """ε, the standard error of the expected time."""
    hour_log_stddev: float = 0.0
    """τ, how much an hour differs from the next although nothing has changed."""


class Change(NamedTuple):
    """How a class compares with its baseline. All of it is finite."""

    ratio: float
    """R, actual over expected time."""
    lower: float
    """R if noise has worked against us, at the confidence of `CONFIDENCE_Z`."""
    upper: float
    """R if noise has worked for us."""
    z: float
    """How many standard errors ln R is away from 0."""
    z_raw: float
    """The same without a floor; at most 1 where one single call explains the excess."""
    calls: int
    seconds: float
    expected_seconds: float
    baseline_error: float = 0.0
    """ε of the baseline."""
    log_error: float = 0.0
    """The standard error of ln R."""
    call_error: float = 0.0
    """The part of it that comes from the spread of the calls."""

    def bound(self, z: float) -> float:
        """Return R·exp(z·error), a one-sided bound of R: the upper one, or the lower if z < 0."""
        return self.ratio * math.exp(z * self.log_error)


class Limits(NamedTuple):
    """What R, z and z_raw must each exceed in a window that pages."""

    ratio: float
    z: float
    z_raw: float


PAGE = Limits(ratio=1.2, z=3.09, z_raw=1.5)
"""Pages in two windows of an hour that do not overlap: by itself, z goes beyond 3.09 once in a
thousand windows, and size and z_raw must agree. A z_raw of 1.5 takes more than two calls."""

SLOW_PAGE = Limits(ratio=1.2, z=3.5, z_raw=1.5)
"""The same with the noise of each length of window. τ is an estimate, from 28 blocks of six hours
where the baseline is a week, so z goes beyond 3.09 more often than a normal value does."""

FAST_PAGE = Limits(ratio=3.0, z=5.0, z_raw=2.0)
"""Pages in one window of 15 minutes, during the warm-up as well."""


SLICES = 5
LEAST_SLOW_SLICES = 3
"""A window is slow only if in three of its five parts, too, R is beyond its limit. The time of a
stall, in which all calls wait for the same lock or disk, lies in one part or two."""


class AlertWindow(NamedTuple):
    """A length of time over which the alert rules compare the last calls with the baseline."""

    label: str
    """The value of the label `window` of the recorded series."""
    hours: float
    noise_hours: int = 1
    """The length of the blocks whose τ is the noise of this window."""

    @property
    def slice_hours(self) -> float:
        """How long one of its parts is, in hours: three minutes of the fast window."""
        return self.hours / SLICES


FAST_WINDOW = AlertWindow("15m", 0.25)
"""Judged by `FAST_PAGE`; all other windows by `PAGE`."""

PAGE_WINDOWS = (AlertWindow("1h", 1.0), AlertWindow("6h", 6.0, 6))
"""Two in a row of one length page. The longer one is for classes with few calls."""

TICKET_WINDOW = AlertWindow("24h", 24.0, 24)
"""One opens a ticket: what takes a day to be seen can wait for the morning."""

ALERT_WINDOWS = (FAST_WINDOW, *PAGE_WINDOWS, TICKET_WINDOW)

FAST_PAGE_FOR_MINUTES, PAGE_FOR_MINUTES, TICKET_FOR_MINUTES = 1, 5, 60
"""How long the condition must hold before the alert fires."""

PAGE_KEEP_FIRING_MINUTES, TICKET_KEEP_FIRING_MINUTES = 60, 720
"""How long the alert goes on firing without its condition, so that a slow-down that is sometimes
above the limit and sometimes below it is one page."""

LEAST_CALLS = 5
"""With fewer calls nothing is decided."""

LEAST_COVERAGE = 0.8
"""Matched seconds over all seconds of the class; at or below it nothing is decided, because too
much of the time is spent in statements of which no baseline is known."""

GREATEST_BASELINE_ERROR = math.sqrt(0.05)
"""ε; beyond it the logarithm is no longer normal enough (Fieller, 1954), and nothing is judged."""

SLOWER = 1.2
"""The ratio that is a regression for the verdict; one that is surely below it is none."""

IMPROVED = 0.7
"""The ratio that is an improvement, 30 % less time. Reported, never required."""

CONFIDENCE_Z = 3.09
"""Standard errors on either side of R, in `Change.lower` and `Change.upper`.

The verdict is looked at for a week, at every moment, and not at four checkpoints, for which 2.5
would do. Of noise that is a Brownian motion W, sqrt(t) normalised, the chance to exceed b at any
time from hour 1 to hour 168 is about φ(b)·((b - 1/b)/2·ln 168 + 2/b) (Siegmund, Sequential
Analysis, 1985): 2.6 % at 3.09, 10.8 % at 2.5. Drawn 200,000 times it is 2.3 % and 9.9 %, and 1.6 %
at 3.09 if one looks once an hour. That is below the 5 % of four looks with Bonferroni's bound. It
holds for one direction, for one class, and as far as one hour does not depend on the other.
"""

EXCESS_FLOOR_SECONDS = 1.0
"""What a slow-down must cost in an hour: less of the server's time is not worth a page."""

EXCESS_FLOOR_SECONDS_A_CALL = 0.05
"""Or what it must cost in a call, where there are too few calls for a second an hour."""

FAIL_FLOOR_SECONDS_A_CALL = 0.001
"""A slow-down of less than this a call, and less than `EXCESS_FLOOR_SECONDS` an hour, does not fail
a deployment."""

FAIL_Z = 3.09
"""How many standard errors ln R must be above 0 for a fail. See `CONFIDENCE_Z` for why."""

PASS_Z = 1.64
"""At this one-sided bound, of 95 %, R must be below the margin for a pass."""

PASS_FROM_HOURS = 10.0
"""In fewer hours h, the pass is at PASS_Z·√(10/h), `FAIL_Z` at most (after O'Brien and Fleming,
1979): looks are many then, and hours few."""

GREATEST_CALL_ERROR = GREATEST_BASELINE_ERROR
LEAST_CALLS_TO_PASS = 30
"""With fewer calls, or a greater relative error by their spread, nothing passes: the mean of few
skewed times is often far below the true one. 30 even calls are enough, or 500 at σ 1.5."""

LAST_DAY_MARGIN = 1.2
"""By what factor the margin is wider for the last 24 hours alone, whose bound must be below it."""

LEAST_PIECES = 3
"""Pieces of the time, an hour as a rule, of which a median can be taken for a fail. One incident
lies in one of them."""

USUAL_RATIO = (0.5, 2.0)
"""Rows per call and calls per hour, over their expectation, that a pass allows."""

MISSING_ROWS_RATIO = 0.1
"""Rows per call over their expectation below which results are missing: a fail."""

ENOUGH_COUNTED = 30
"""Rows and calls are judged where this many calls, or rows, are expected or were seen."""

STATEMENT_SHARE = 0.05
STATEMENT_RATIO = 2.0
"""A statement that has 5 % of the calls of its class and is surely beyond 2 is named."""

CALLS_PER_OPERATION = 2.0
"""A replacement that is called more than twice as often as what it replaces is named."""

MOVED_WARNING = 1.2
"""Hours of incidents that would raise a class's expectation by more are a warning."""

LEVEL_DAYS = 7
"""The mean comes from this many days before the deployment: older ones are further from today."""

LEAST_ERROR = 1e-9
"""A relative standard error below it is rounding, and no z is divided by less."""

# A relative standard error above which the exponential says nothing more.
_GREATEST_ERROR = 100.0


def pooled(parts: Iterable[tuple[Sums, Noise]]) -> tuple[Sums, Noise]:
    """Return several roles, or classes, as one.

    Their baselines err independently of each other, but an hour that is slow is slow for all:

        ε² = Σ(E·ε)² / (ΣE)²        τ = ΣE·τ / ΣE
    """
    sums, squared_error, log_stddev = Sums(), 0.0, 0.0
    for part, noise in parts:
        sums = sums.plus(part)
        squared_error += (part.expected_seconds * noise.relative_error) ** 2
        log_stddev += part.expected_seconds * noise.hour_log_stddev
    expected = sums.expected_seconds
    if not expected > 0:
        return sums, Noise()
    return sums, Noise(math.sqrt(squared_error) / expected, log_stddev / expected)


def change(sums: Sums, noise: Noise, hours: float = 1.0) -> Change | None:
    """Compare calls with their baseline; None if there are none, or none that took time.

        R     = T/E
        v     = max(v_raw, R²·W)             never less than the baseline's own spread
        z     = ln R / sqrt(v/T² + ε² + τ²)
        z_raw = (T - E) / sqrt(max(D - (T-E)²/N, 0) · N/(N-1) + ε²·E²)

    The error of ln R is that of the delta method. z_raw takes the spread of the excess of each
    call about the mean excess: whatever the statements, one call then cannot get beyond 1, nor j
    equal ones much beyond √j. `spread` would not do, for it expects a shift in proportion, and
    where most of the expected time is that of one call, it takes an outlier among the others, or
    that call itself, for such a shift.

    τ² shrinks with the number of hours, but no further than after a day. It does not grow for
    parts of an hour, because what makes an hour slow does not average out within it.

    Args:
        sums: of the calls since some moment.
        noise: that of the baseline.
        hours: how long ago that was, in hours of the baseline.
    """
    calls, seconds, expected = sums.calls, sums.seconds, sums.expected_seconds
    if calls <= 0 or not seconds > 0 or not expected > 0:
        return None
    ratio, excess = seconds / expected, seconds - expected
    variance = max(spread(sums), ratio**2 * sums.expected_variance)
    independent_hours = min(max(hours, 1.0), HOURS_OF_A_DAY)
    error = math.sqrt(
        variance / seconds**2
        + noise.relative_error**2
        + noise.hour_log_stddev**2 / independent_hours
    )
    error = min(max(error, LEAST_ERROR), _GREATEST_ERROR)
    raw_error = math.sqrt(excess_spread(sums) + (noise.relative_error * expected) ** 2)
    return Change(
        ratio,
        ratio * math.exp(-CONFIDENCE_Z * error),
        ratio * math.exp(CONFIDENCE_Z * error),
        math.log(ratio) / error,
        excess / max(raw_error, LEAST_ERROR * max(seconds, expected)),
        calls,
        seconds,
        expected,
        noise.relative_error,
    )


def pages(
    change: Change, coverage: float, excess_floor_seconds: float, limits: Limits = PAGE
) -> bool:
    """Return whether one window has all that a page needs. `PAGE` asks for two in a row.

    Args:
        change: the window.
        coverage: seconds of statements with a baseline over all seconds of the class.
        excess_floor_seconds: what the slow-down must have cost in this window.
        limits: `PAGE` or `FAST_PAGE`.
    """
    return (
        change.ratio > limits.ratio
        and change.z > limits.z
        and change.z_raw > limits.z_raw
        and change.calls >= LEAST_CALLS
        and coverage > LEAST_COVERAGE
        and change.seconds - change.expected_seconds >= excess_floor_seconds
    )

"""The decision rule: is a class of statements slower than its baseline, beyond size and noise?

Six sums grow with each poll; everything else follows from them, here and, by the same formulas, in
the alert rules, which take their limits and windows from this module (`alerts/rule-templates/`). A
test holds the formulas of the two together. `bench/bench_decision_rule.py` simulates the rule. No
clock, no network: numbers in, a decision out.
"""

import math
from typing import NamedTuple


class Change(NamedTuple):
    """How a class compares with its baseline. All of it is finite."""

    ratio: float
    """R, actual over expected time."""
    lower: float
    """The one-sided bound of R from below, at `PASS_Z`."""
    upper: float
    """The same from above."""
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


PAGE = Limits(ratio=1.2, z=3.5, z_raw=1.5)
"""Pages in two windows of one length that do not overlap; one of a day opens a ticket. τ is an
estimate, from 28 blocks of six hours where the baseline is a week, so z goes beyond 3.09 more often
than a normal value does. A z_raw of 1.5 takes more than two calls."""

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
"""Judged by `FAST_PAGE`, with the noise of an hour; all other windows by `PAGE`."""

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

EXCESS_FLOOR_SECONDS = 1.0
"""What a slow-down must cost in an hour: less of the server's time is not worth a page."""

EXCESS_FLOOR_SECONDS_A_CALL = 0.05
"""Or what it must cost in a call, where there are too few calls for a second an hour."""

FAIL_FLOOR_SECONDS_A_CALL = 0.001
"""A slow-down of less than this a call, and less than `EXCESS_FLOOR_SECONDS` an hour, does not fail
a deployment."""

FAIL_Z = 3.09
"""How many standard errors ln R must be above 0 for a fail.

The verdict is looked at for a week, at every moment. Of noise that is a Brownian motion W, sqrt(t)
normalised, the chance to exceed b at any time from hour 1 to hour 168 is about
φ(b)·((b - 1/b)/2·ln 168 + 2/b) (Siegmund, Sequential Analysis, 1985): 2.6 % at 3.09, 10.8 % at 2.5.
It holds for one class, and as far as one hour does not depend on the other; the simulation has
hours that do."""

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

USUAL_RATIO_WITHOUT_NIGHT = (0.2, 5.0)
"""The same for calls per hour where the baseline covers less than a day: it may have no night."""

MISSING_ROWS_RATIO = 0.1
"""Rows per call over their expectation below which results are missing: a fail."""

ENOUGH_COUNTED = 30
"""Rows and calls are judged where this many calls, or rows, are expected or were seen."""

SPREAD_RATIO = 2.0
"""How many times as far as in the baseline calls may deviate from their expectation, in the median
hour, if they also deviate by more than the expectation itself. A few per cent of calls that take
ten times as long move the mean by little, and this by much."""

STATEMENT_SHARE = 0.05
STATEMENT_RATIO = 2.0
"""A statement that has 5 % of the calls of its class and is surely beyond 2 is named."""

MISSING_CALLS_RATIO = 0.5
"""A statement that had 5 % of the calls of its class, and surely has less than half of those now,
is named: calls that fail are not counted."""

MISSING_NOW_RATIO = 0.1
"""A class with less than a tenth of its usual calls in the last hours is not called any more."""

CALLS_PER_OPERATION = 2.0
"""A replacement that is called more than twice as often as what it replaces is named."""

MOVED_WARNING = 1.2
"""Hours of incidents that would raise a class's expectation by more are a warning."""

LEVEL_DAYS = 7
"""The mean comes from this many days before the deployment: older ones are further from today."""

LEAST_ERROR = 1e-9
"""A relative standard error below it is rounding, and no z is divided by less."""

"""The decision rule, run hour by hour on the baseline itself, where nothing has changed.

A page there says that this database is noisier than the rule believes.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from exporter.comparison.rule import LEAST_CALLS, LEAST_COVERAGE, Noise, Sums, change, pages


class Backtest(NamedTuple):
    """How the rule fares where nothing has changed."""

    windows: int
    """In so many there was enough to decide on."""
    pages: int
    """So often it would have paged."""


def backtest(
    classes: Mapping[str, Sequence[tuple[Sums, Noise, float]]], excess_floor_seconds: float
) -> Backtest:
    """Return in how many windows the rule had to decide, and how often it would have paged.

    It pages once for each run of two windows or more that have all a page needs. As the hours are
    part of their own baseline, this errs a little in favour of the rule.

    Args:
        classes: for each class its hours in order: their sums, the noise of the baseline, and the
            coverage, seconds of statements with a baseline over all. An hour that was left out or
            had no calls has empty sums.
        excess_floor_seconds: what a slow-down must cost in an hour.
    """
    decided = raised = 0
    for windows in classes.values():
        run = 0
        for sums, noise, coverage in windows:
            found = change(sums, noise)
            if found is None or found.calls < LEAST_CALLS or coverage <= LEAST_COVERAGE:
                run = 0
                continue
            decided += 1
            run = run + 1 if pages(found, coverage, excess_floor_seconds) else 0
            raised += run == 2
    return Backtest(decided, raised)

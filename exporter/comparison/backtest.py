"""The rule of alerts, tried on the baseline itself, where nothing has changed.

A page there says that this database is noisier than the rule believes.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import NamedTuple

from exporter.comparison.rule import LEAST_CALLS, PAGE_WINDOWS, TICKET_WINDOW, AlertWindow
from exporter.comparison.sums import Sums
from exporter.comparison.window import exceeds_limits
from exporter.comparison.window_noise import BaselineNoise


class Replay(NamedTuple):
    """How the rule of alerts fares on the hours of a class, where nothing has changed."""

    windows: int
    """So many hours have enough calls to decide on."""
    pages: int
    tickets: int
    """So often one would have begun."""


def replay(
    hours: Mapping[float, Sums], noise: BaselineNoise, hour_seconds: float = 3600.0
) -> Replay:
    """Return how often the alerts of an hour and longer would have fired on the baseline itself.

    All windows that end with an hour are tried. Slices shorter than an hour are not known here, so
    the limits alone decide, and an incident of one hour shows as a ticket.

    Args:
        hours: the sums of a class, all roles together, by the Unix time at which the hour began.
        noise: that of the baseline, the roles pooled.
        hour_seconds: how long an hour is; shorter in a rehearsal.
    """
    if not hours:
        return Replay(0, 0, 0)
    first = min(hours)
    count = round((max(hours) - first) / hour_seconds) + 1
    every = [Sums()] * count
    for start, sums in hours.items():
        number = round((start - first) / hour_seconds)
        every[number] = every[number].plus(sums)
    slow = {
        window: _slow_ends(every, window, noise, hour_seconds)
        for window in (*PAGE_WINDOWS, TICKET_WINDOW)
    }
    paged = {
        end
        for window in PAGE_WINDOWS
        for end in slow[window]
        if end - round(window.hours) in slow[window]
    }
    decided = sum(sums.calls >= LEAST_CALLS for sums in every)
    return Replay(decided, _begins(paged), _begins(slow[TICKET_WINDOW]))


def _slow_ends(
    hours: Sequence[Sums], window: AlertWindow, noise: BaselineNoise, hour_seconds: float
) -> set[int]:
    """Return after how many hours the windows end that exceed the limits."""
    length = round(window.hours)
    return {
        end
        for end in range(length, len(hours) + 1)
        if exceeds_limits(
            window,
            reduce(Sums.plus, hours[end - length : end], Sums()),
            noise,
            coverage=1.0,
            hour_seconds=hour_seconds,
        )
    }


def _begins(ends: set[int]) -> int:
    return sum(end - 1 not in ends for end in ends)

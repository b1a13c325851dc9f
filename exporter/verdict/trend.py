"""The tracked numbers of the last day, kept in memory so that they can be drawn."""

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from exporter.catalog.criteria import Tracked
from exporter.clock import Clock
from exporter.verdict.evidence import Evidence, trusted_series

MOST_POINTS = 1440
"""A day, at one point a minute; in a rehearsal as many of the last assessments."""

_RATIO_POINTS = 15
"""Actual over expected time is taken over as many points, a quarter of an hour: one minute has so
few calls that one would see nothing but noise."""


class Point(NamedTuple):
    """The values of the tracked numbers, in their order, at the Unix time `at`.

    None where a number was not known. Of a class, the number is actual over expected time.
    """

    at: float
    values: tuple[float | None, ...]


class _Times(NamedTuple):
    """What the calls of a class took so far, and what they would have taken before; in seconds."""

    actual: float
    expected: float


class Trend:
    """One point a minute, for a day. One thread writes; any may read `points`."""

    def __init__(self, tracked: Sequence[Tracked], clock: Clock) -> None:
        """Begin without a point."""
        self._tracked = tracked
        self._clock = clock
        self._times: deque[dict[str, _Times]] = deque(maxlen=_RATIO_POINTS + 1)
        self.points: tuple[Point, ...] = ()
        """The oldest first. Replaced as a whole, so that a reader has one that stays as it is."""

    def record(self, evidence: Evidence) -> None:
        """Add a point of what is known now, once a minute; more than that is left out."""
        now = evidence.now
        minute = now // self._clock.minute_seconds
        if self.points and minute == self.points[-1].at // self._clock.minute_seconds:
            return
        names = {tracked.class_name for tracked in self._tracked if tracked.class_name}
        times = {name: _times(name, evidence) for name in names}
        self._times.append({name: known for name, known in times.items() if known})
        point = Point(now, tuple(self._value(tracked, evidence) for tracked in self._tracked))
        # A clock that is set back would draw a line back in time.
        earlier = [each for each in self.points[1 - MOST_POINTS :] if each.at < now]
        self.points = (*earlier, point)

    def _value(self, tracked: Tracked, evidence: Evidence) -> float | None:
        if tracked.class_name is None:
            found = trusted_series(tracked.metric or "", tracked.labels, 0.0, evidence)
            return None if found.doubts else math.fsum(found.series.values())
        known = [times[tracked.class_name] for times in self._times if tracked.class_name in times]
        if not known or tracked.class_name not in self._times[-1]:
            return None
        expected = known[-1].expected - known[0].expected
        return (known[-1].actual - known[0].actual) / expected if expected > 0 else None


def _times(class_name: str, evidence: Evidence) -> _Times | None:
    """Return the times of a class, all its roles together; None where nothing is compared."""
    sums = [each for (name, _), each in evidence.matched.items() if name == class_name]
    if not sums:
        return None
    return _Times(
        math.fsum(each.seconds for each in sums), math.fsum(each.expected_seconds for each in sums)
    )

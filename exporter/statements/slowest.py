"""The slowest statements of the last quarter of an hour, without flicker.

A statement comes in among the first ten, and goes when it is not among the first twenty any more,
or was not called in the window. So the ten slowest are always in, and some that lately were.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from exporter.statements.tally import Counted, Known

IN_RANKS = 10
OUT_RANKS = 20
WINDOW_SECONDS = 900.0
_BUCKETS = 5


class SlowStatementKey(NamedTuple):
    """Labels of a series: what the statement is called by, its class, and the role."""

    statement: str
    class_name: str
    role: str


class Slow(NamedTuple):
    """A statement in the list; `text` is None where it may not be shown."""

    place: SlowStatementKey
    mean_seconds: float
    text: str | None


CallSums = dict[SlowStatementKey, tuple[int, float]]
"""Calls and seconds."""


class Slowest:
    """Keeps the window in five buckets, of which the oldest falls away as a whole."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[float, CallSums]] = deque()
        self._members: set[SlowStatementKey] = set()
        self._texts: dict[SlowStatementKey, str] = {}

    def add(self, counted: Iterable[Counted], now: float) -> list[Slow]:
        """Take new calls in, and return the slowest statements, slowest first.

        Args:
            counted: calls since the last time; those without a text have no name to be shown by.
            now: seconds on a clock that does not jump.
        """
        while self._buckets and self._buckets[0][0] <= now - WINDOW_SECONDS:
            self._buckets.popleft()
        if not self._buckets or self._buckets[-1][0] <= now - WINDOW_SECONDS / _BUCKETS:
            self._buckets.append((now, {}))
        newest = self._buckets[-1][1]
        for known, delta in counted:
            if place := _place(known):
                calls, seconds = newest.get(place, (0, 0.0))
                newest[place] = (calls + delta.calls, seconds + delta.seconds)
                if known.shown:
                    self._texts[place] = known.shown
        means = self._means()
        ranked = sorted(means, key=lambda place: (-means[place], place))
        staying = self._members.intersection(ranked[:OUT_RANKS])
        self._members = staying.union(ranked[:IN_RANKS])
        self._texts = {place: text for place, text in self._texts.items() if place in means}
        return [
            Slow(place, means[place], self._texts.get(place))
            for place in ranked[:OUT_RANKS]
            if place in self._members
        ]

    def _means(self) -> dict[SlowStatementKey, float]:
        sums: CallSums = {}
        for _, bucket in self._buckets:
            for place, (calls, seconds) in bucket.items():
                before = sums.get(place, (0, 0.0))
                sums[place] = (before[0] + calls, before[1] + seconds)
        return {place: seconds / calls for place, (calls, seconds) in sums.items()}


def _place(known: Known) -> SlowStatementKey | None:
    if known.identity is None:
        return None
    return SlowStatementKey(known.identity[:12], known.class_name, known.role)

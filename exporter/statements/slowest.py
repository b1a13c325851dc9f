"""The slowest statements of the last 15 minutes, listed without flicker.

A statement enters the list when it ranks among the first ten, and leaves it when it no longer ranks
among the first twenty or had no call in the window.
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
    """Labels of a series; `statement` is the identity."""

    statement: str
    class_name: str
    role: str


class Slow(NamedTuple):
    """A statement in the list; `text` is None where it may not be shown."""

    labels: SlowStatementKey
    mean_seconds: float
    text: str | None


CallSums = dict[SlowStatementKey, tuple[int, float]]
"""Calls and seconds."""


class Slowest:
    """Keeps the window as five buckets; the oldest is dropped whole."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[float, CallSums]] = deque()
        self._members: set[SlowStatementKey] = set()
        self._texts: dict[tuple[str, str], str] = {}
        """By identity and class. The first text stays: another series of them would break joins."""

    def add(self, counted: Iterable[Counted], now: float) -> list[Slow]:
        """Add new calls, and return the list, slowest first.

        Args:
            counted: calls since the last time; those of statements without an identity are ignored.
            now: seconds of a monotonic clock.
        """
        while self._buckets and self._buckets[0][0] <= now - WINDOW_SECONDS:
            self._buckets.popleft()
        if not self._buckets or self._buckets[-1][0] <= now - WINDOW_SECONDS / _BUCKETS:
            self._buckets.append((now, {}))
        newest = self._buckets[-1][1]
        for known, delta in counted:
            if labels := _labels(known):
                calls, seconds = newest.get(labels, (0, 0.0))
                newest[labels] = (calls + delta.calls, seconds + delta.seconds)
                if known.shown:
                    self._texts.setdefault(labels[:2], known.shown)
        means = self._means()
        ranked = sorted(means, key=lambda labels: (-means[labels], labels))
        staying = self._members.intersection(ranked[:OUT_RANKS])
        self._members = staying.union(ranked[:IN_RANKS])
        called = {labels[:2] for labels in means}
        self._texts = {key: text for key, text in self._texts.items() if key in called}
        return [
            Slow(labels, means[labels], self._texts.get(labels[:2]))
            for labels in ranked[:OUT_RANKS]
            if labels in self._members
        ]

    def _means(self) -> dict[SlowStatementKey, float]:
        sums: CallSums = {}
        for _, bucket in self._buckets:
            for labels, (calls, seconds) in bucket.items():
                before = sums.get(labels, (0, 0.0))
                sums[labels] = (before[0] + calls, before[1] + seconds)
        return {labels: seconds / calls for labels, (calls, seconds) in sums.items()}


def _labels(known: Known) -> SlowStatementKey | None:
    if known.identity is None:
        return None
    return SlowStatementKey(known.identity, known.class_name, known.role)

"""The slowest statements of the last 15 minutes, listed without flicker.

A statement enters the list when it ranks among the first ten, and leaves it when it no longer ranks
among the first twenty or had no call in the window.
"""

import heapq
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
        self._sums: CallSums = {}
        """Of all buckets."""
        self._members: set[SlowStatementKey] = set()
        self._texts: dict[tuple[str, str], str] = {}
        """By identity and class. The first text stays: another series of them would break joins."""

    def add(self, counted: Iterable[Counted], now: float) -> list[Slow]:
        """Add new calls, and return the list, slowest first.

        Args:
            counted: calls since the last time; those of statements without an identity are ignored.
            now: seconds of a monotonic clock.
        """
        is_shorter = False
        while self._buckets and self._buckets[0][0] <= now - WINDOW_SECONDS:
            self._buckets.popleft()
            is_shorter = True
        if not self._buckets or self._buckets[-1][0] <= now - WINDOW_SECONDS / _BUCKETS:
            self._buckets.append((now, {}))
        if is_shorter:
            self._sum_buckets()
        for known, delta in counted:
            if labels := _labels(known):
                for sums in (self._buckets[-1][1], self._sums):
                    calls, seconds = sums.get(labels, (0, 0.0))
                    sums[labels] = (calls + delta.calls, seconds + delta.seconds)
                if known.shown:
                    self._texts.setdefault(labels[:2], known.shown)
        means = ((-seconds / calls, labels) for labels, (calls, seconds) in self._sums.items())
        ranked = heapq.nsmallest(OUT_RANKS, means)
        staying = self._members.intersection(labels for _, labels in ranked)
        self._members = staying.union(labels for _, labels in ranked[:IN_RANKS])
        return [
            Slow(labels, -mean, self._texts.get(labels[:2]))
            for mean, labels in ranked
            if labels in self._members
        ]

    def _sum_buckets(self) -> None:
        """Add the buckets up from the start: subtracting the oldest would leave rounding errors."""
        self._sums = {}
        for _, bucket in self._buckets:
            for labels, (calls, seconds) in bucket.items():
                before = self._sums.get(labels, (0, 0.0))
                self._sums[labels] = (before[0] + calls, before[1] + seconds)
        called = {labels[:2] for labels in self._sums}
        self._texts = {key: text for key, text in self._texts.items() if key in called}


def _labels(known: Known) -> SlowStatementKey | None:
    if known.identity is None:
        return None
    return SlowStatementKey(known.identity, known.class_name, known.role)

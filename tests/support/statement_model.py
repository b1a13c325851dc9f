"""A model of pg_stat_statements that keeps every single call, to hold what is counted against."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from exporter.statements.counters import Key, Poll, Reading

START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = tuple(Key(10, 5, query) for query in (-1, 7, 8))


@dataclass
class Life:
    """One entry from its beginning: the sums as the server keeps them (Welford), and its calls."""

    since: datetime
    calls: list[float] = field(default_factory=list)
    total: float = 0.0
    mean: float = 0.0
    squared: float = 0.0
    seen: int = 0

    def call(self, seconds: float) -> None:
        self.calls.append(seconds)
        self.total += seconds
        shift = seconds - self.mean
        self.mean += shift / len(self.calls)
        self.squared += shift * (seconds - self.mean)

    def reading(self, *, dated: bool) -> Reading:
        count = len(self.calls)
        return Reading(
            count,
            self.total,
            math.sqrt(self.squared / count) if count > 1 else 0.0,
            rows=2 * count,
            blocks_hit=3 * count,
            blocks_read=0,
            since=self.since if dated else None,
            min_seconds=None if dated else min(self.calls),
            max_seconds=None if dated else max(self.calls),
        )


class Server:
    """pg_stat_statements and all that befalls it; remembers what nobody could have read."""

    def __init__(self, *, dated: bool) -> None:
        self.dated = dated
        self.now = START
        self.stats_reset = START
        self.dealloc = 0
        self.lives: dict[Key, Life] = {}
        self.called = dict.fromkeys(KEYS, 0)
        self.lost = dict.fromkeys(KEYS, 0)

    def tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def call(self, key: Key, seconds: float) -> None:
        self.lives.setdefault(key, Life(self.tick())).call(seconds)
        self.called[key] += 1

    def end(self, key: Key) -> None:
        if life := self.lives.pop(key, None):
            self.lost[key] += len(life.calls) - life.seen

    def evict(self, key: Key) -> None:
        self.end(key)
        self.dealloc += 1

    def reset_all(self) -> None:
        for key in KEYS:
            self.end(key)
        self.dealloc = 0
        self.stats_reset = self.tick()

    def poll(self) -> Poll:
        started_at = self.tick()
        readings = {}
        for key, life in self.lives.items():
            readings[key] = life.reading(dated=self.dated)
            life.seen = len(life.calls)
        return Poll(started_at, self.tick(), readings, self.stats_reset, self.dealloc)

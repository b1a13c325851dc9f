"""The decision rule in databases that behave as told: what it finds, and how often it is wrong.

Everything that estimates and decides is the exporter's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bench.worlds import Source
from exporter.comparison.noise import noise, profile
from exporter.comparison.rule import PAGE, Noise, Sums, change, contribution, pages
from exporter.deployment.records import Outcome
from exporter.statements.counters import Delta
from exporter.verdict.outcome import verdict_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.worlds import Hour, World
    from exporter.comparison.noise import Profile
    from exporter.comparison.rule import Limits

OUTLIER_MEDIANS = 5_000.0

# Baselines that are drawn at once, so that numpy has something to do.
_BATCH = 50


@dataclass(frozen=True)
class After:
    """How it is after the deployment, as far as that is not as before."""

    slower: float = 1.0
    shares: tuple[float, ...] | None = None
    outliers: bool = False
    """Whether one call in each window takes 5,000 times the median."""
    window_calls: int | None = None


@dataclass
class Tally:
    """What the rule says of pairs of windows, each pair after a baseline of its own."""

    pairs: int = 0
    slow_windows: int = 0
    """Windows in which the ratio alone would have paged."""
    window_pages: int = 0
    """Windows that had all a page needs."""
    pair_pages: int = 0
    """Pairs of such windows: what pages."""


class Known(NamedTuple):
    """A baseline as the exporter would have it."""

    profiles: tuple[Profile | None, ...]
    """By statement; None for one that was not called."""
    noise: Noise

    def sums(self, hour: Iterable[Delta | None]) -> Sums:
        """Return the sums of an hour, over the statements that have a baseline."""
        sums = Sums()
        for known, delta in zip(self.profiles, hour, strict=True):
            if known and delta:
                sums = sums.plus(contribution(delta, known.mean_seconds, known.variance))
        return sums


def pairs_judged(
    world: World,
    after: Sequence[After],
    count: int,
    seed: int,
    limits: Limits = PAGE,
    baseline_outliers: int = 0,
) -> list[Tally]:
    """Judge pairs of windows, `count` of them, by each way in which it may be after the deployment.

    The ways with the same shares and calls see the same calls, so that they can be compared.
    """
    source = Source(world, seed)
    tallies = [Tally() for _ in after]
    for _ in range(0, count, _BATCH):
        before = source.hours(_BATCH * world.baseline_hours)
        drawn = {
            (way.shares, way.window_calls): source.hours(2 * _BATCH, way.shares, way.window_calls)
            for way in after
        }
        for number in range(_BATCH):
            start = number * world.baseline_hours
            known = learn(world, before[start : start + world.baseline_hours], baseline_outliers)
            for way, tally in zip(after, tallies, strict=True):
                hours = drawn[way.shares, way.window_calls][2 * number : 2 * number + 2]
                _judge_pair(world, known, hours, way, limits, tally)
    return tallies


def weeks_judged(world: World, slower: float, count: int, seed: int) -> tuple[int, int]:
    """Return how many of `count` weeks failed at a look in any hour, and how many after a day."""
    source = Source(world, seed)
    ever = after_a_day = 0
    for _ in range(count):
        known = learn(world, source.hours(world.baseline_hours))
        sums = Sums()
        failed = []
        for hours, hour in enumerate(source.hours(168), start=1):
            sums = sums.plus(known.sums(_deltas(world, hour, slower)))
            found = change(sums, known.noise, hours)
            failed.append(verdict_of(found, 1.0).outcome is Outcome.FAIL)
        ever += any(failed)
        after_a_day += failed[23]
    return ever, after_a_day


def learn(world: World, hours: Sequence[Hour], outliers: int = 0) -> Known:
    """Estimate a baseline as the exporter does; the first `outliers` hours hold one each."""
    seen = [_deltas(world, hour, outlier=number < outliers) for number, hour in enumerate(hours)]
    profiles = tuple(
        profile([delta for delta in statement if delta]) if any(statement) else None
        for statement in zip(*seen, strict=True)
    )
    known = Known(profiles, Noise())
    sums = [known.sums(hour) for hour in seen]
    return known._replace(noise=noise([one for one in profiles if one], sums))


def _judge_pair(
    world: World, known: Known, hours: Sequence[Hour], way: After, limits: Limits, tally: Tally
) -> None:
    paged = 0
    for hour in hours:
        sums = known.sums(_deltas(world, hour, way.slower, outlier=way.outliers))
        found = change(sums, known.noise)
        if found:
            tally.slow_windows += found.ratio > limits.ratio
            paged += pages(found, 1.0, 0.0, limits)
    tally.pairs += 1
    tally.window_pages += paged
    tally.pair_pages += paged == 2


def _deltas(
    world: World, hour: Hour, slower: float = 1.0, *, outlier: bool = False
) -> list[Delta | None]:
    """Return what pg_stat_statements would tell of an hour; None for what was not called.

    The outlier is one more call of the first statement that was called.
    """
    found: list[Delta | None] = []
    for count, total, square, mean in zip(
        hour.calls, hour.totals, hour.squares, world.means_seconds, strict=True
    ):
        if not count:
            found.append(None)
            continue
        calls, seconds, squares = count, total, square
        if outlier:
            longest = OUTLIER_MEDIANS * math.exp(-(world.log_stddev**2) / 2)
            calls, seconds, squares = calls + 1, seconds + longest, squares + longest**2
            outlier = False
        scale = mean * hour.factor * slower
        deviation = max(squares - seconds**2 / calls, 0.0) if calls > 1 else 0.0
        found.append(Delta(calls, seconds * scale, deviation * scale**2, 0, 0, 0))
    return found

"""What the decision rule finds, and how often it is wrong, in databases that behave as told.

Every pair of windows has a baseline of its own, estimated as the exporter does. In the tables, for
each cell: per cent of windows of an hour in which the ratio alone is beyond 1.2 / that have all
that a page needs / pairs of windows that page. The seeds are fixed.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bench.simulation import After, Tally, pairs_judged, weeks_judged
from bench.telling import claim, progress
from bench.worlds import World
from exporter.comparison.rule import CONFIDENCE_Z, FAST_PAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLS = (5, 50, 500, 50_000)
LOG_STDDEVS = (0.5, 1.0, 1.5)
HOUR_NOISE = {"A": 0.0, "C": 0.1}
SLOWER = (1.0, 1.1, 1.3, 2.0)
QUIET_PAIRS = 10_000
"""Pairs in cells where nothing is slower: so many that one false page can be told from too many."""
PAIRS = 2_000
WEEKS = 400

SKEWED = World(500, 1.0, 0.1, (0.001, 0.005, 2.0), (0.6, 0.39, 0.01))
"""Most of the time goes into one statement that is rare."""
TWO = World(500, 1.0, 0.1, (0.001, 0.050), (0.9, 0.1))

FALSE_PAGES = 0.001
FOUND = 0.9
EVER_WRONG = 0.05


def wilson(hits: int, count: int, z: float) -> float:
    """Return the bound of Wilson (1927) on a share: the upper one, the lower one if z < 0."""
    share, weight = hits / count, z * z / count
    centre = share + weight / 2
    return (centre + z * math.sqrt(share * (1 - share) / count + weight / (4 * count))) / (
        1 + weight
    )


def at_most(hits: int, count: int) -> float:
    """Return what a share surely is not above, at 95 %."""
    return wilson(hits, count, 1.645)


def at_least(hits: int, count: int) -> float:
    """Return what a share surely is not below, at 95 %."""
    return wilson(hits, count, -1.645)


def cell(tally: Tally) -> str:
    """Return the three percentages of a cell."""
    windows = 2 * tally.pairs
    shares = (tally.slow_windows / windows, tally.window_pages / windows)
    return "/".join(f"{100 * share:.3g}" for share in (*shares, tally.pair_pages / tally.pairs))


def table() -> Iterator[bool]:
    """Print the table; three statements of 2, 5 and 10 ms, 20 hours of baseline."""
    print("A: all hours alike; C: they differ by 10 %")
    heads = [f"{name} {noise}" for name in ("none", "+10 %", "+30 %", "2x") for noise in HOUR_NOISE]
    print(f"{'calls':>6} {'σ':>4} " + " ".join(f"{head:>15}" for head in heads))
    quiet: list[Tally] = []
    found: list[Tally] = []
    ways = [After(slower) for slower in SLOWER]
    for calls in CALLS:
        for log_stddev in LOG_STDDEVS:
            row: dict[tuple[float, str], Tally] = {}
            for noise, hour_log_stddev in HOUR_NOISE.items():
                progress(f"{calls} calls an hour, σ {log_stddev}, {noise}")
                world = World(calls, log_stddev, hour_log_stddev)
                (none,) = pairs_judged(world, ways[:1], QUIET_PAIRS, seed=1)
                row[1.0, noise] = none
                for slower, tally in zip(
                    SLOWER[1:], pairs_judged(world, ways[1:], PAIRS, seed=2), strict=True
                ):
                    row[slower, noise] = tally
                quiet.append(none)
                if calls == 500 and log_stddev <= 1.0:
                    found.append(row[2.0, noise])
            progress("")
            cells = [cell(row[slower, noise]) for slower in SLOWER for noise in HOUR_NOISE]
            print(f"{calls:>6} {log_stddev:>4} " + " ".join(f"{one:>15}" for one in cells))
    worst = max(at_most(tally.pair_pages, tally.pairs) for tally in quiet)
    yield claim(
        f"in each cell at most {FALSE_PAGES:.1%} of the pairs page for noise"
        f" (upper bound in the worst {worst:.3%})",
        holds=worst <= FALSE_PAGES,
    )
    least = min(at_least(tally.pair_pages, tally.pairs) for tally in found)
    yield claim(
        f"2x is found in {FOUND:.0%} of the pairs at 500 calls and σ ≤ 1"
        f" (lower bound in the worst {least:.1%})",
        holds=least >= FOUND,
    )


def baselines() -> Iterator[bool]:
    """Show what becomes of short baselines, and of an odd one."""
    print("\n500 calls an hour, σ 1, hours differ by 10 %: none, 2x")
    ways = [After(), After(2.0)]
    worst = 0.0
    for world, name, outliers in [
        *((World(500, 1.0, 0.1, baseline_hours=n), f"baseline of {n} h", 0) for n in (3, 6, 10)),
        (World(500, 1.0, 0.1), "an outlier in one hour of 20", 1),
        (SKEWED, "most time in a rare call", 0),
    ]:
        progress(name)
        none, twice = pairs_judged(world, ways, QUIET_PAIRS, seed=3, baseline_outliers=outliers)
        progress("")
        print(f"  {name:30} {cell(none):>15} {cell(twice):>15}")
        worst = max(worst, at_most(none.pair_pages, none.pairs))
    yield claim(
        f"at most {FALSE_PAGES:.1%} of the pairs page for noise (upper bound {worst:.3%})",
        holds=worst <= FALSE_PAGES,
    )


def mixes() -> Iterator[bool]:
    """Show windows in which no statement is slower, but the slow one is called more often."""
    print("\n1 ms and 50 ms, 90/10 before the deployment: 25/75 after it, 80/20")
    ways = [After(shares=(0.25, 0.75)), After(shares=(0.8, 0.2))]
    mixed: list[Tally] = []
    for calls in CALLS[:3]:
        for noise, hour_log_stddev in HOUR_NOISE.items():
            progress(f"another mix of {calls} calls an hour, {noise}")
            world = replace(TWO, calls=calls, hour_log_stddev=hour_log_stddev)
            mixed += pairs_judged(world, ways, QUIET_PAIRS if calls == CALLS[0] else PAIRS, seed=5)
            progress("")
            cells = " ".join(f"{cell(tally):>15}" for tally in mixed[-2:])
            print(f"  {calls:>5} {noise} {cells}")
    few, many = mixed[:4], mixed[4:]
    worst = max(at_most(tally.pair_pages, tally.pairs) for tally in few)
    yield claim(
        "another mix alone never pages at 50 calls an hour and more",
        holds=not any(tally.pair_pages for tally in many),
    )
    yield claim(
        f"at 5 calls, in at most {FALSE_PAGES:.1%} of the pairs (upper bound {worst:.3%})",
        holds=worst <= FALSE_PAGES,
    )


def outliers() -> Iterator[bool]:
    """Show windows with one call that waited for something."""
    print("\none call of 5,000 medians in each window: none, 2x; 15 minutes of it: none")
    odd = fast = 0
    for world in (World(50, 1.0, 0.1), World(500, 1.0, 0.1), replace(SKEWED, log_stddev=0.5)):
        ways = [After(outliers=True), After(2.0, outliers=True)]
        none, twice = pairs_judged(world, ways, PAIRS, seed=6)
        quarter = After(outliers=True, window_calls=world.calls // 4)
        (quick,) = pairs_judged(world, [quarter], PAIRS, seed=7, limits=FAST_PAGE)
        odd += none.pair_pages
        fast += quick.window_pages
        cells = " ".join(f"{cell(tally):>15}" for tally in (none, twice, quick))
        print(f"  {world.calls:>5} {world.means_seconds[-1]:>5} s {cells}")
    yield claim("one outlier never pages", holds=not odd)
    yield claim("nor does it page fast, in one window", holds=not fast)


def fast_pages() -> Iterator[bool]:
    """Show windows of 15 minutes by the limits of a fast page."""
    print("\n15 minutes, hours differ by 10 %: none, 5x")
    worst = 0.0
    for calls in CALLS[1:3]:
        for log_stddev in LOG_STDDEVS:
            world = World(calls, log_stddev, 0.1)
            ways = [After(slower, window_calls=calls // 4) for slower in (1.0, 5.0)]
            none, five = pairs_judged(world, ways, PAIRS, seed=8, limits=FAST_PAGE)
            worst = max(worst, at_most(none.window_pages, 2 * none.pairs))
            print(f"  {calls:>5} {log_stddev:>4} {cell(none):>15} {cell(five):>15}")
    yield claim(
        f"at most {FALSE_PAGES:.1%} of windows page fast for noise (upper bound {worst:.3%})",
        holds=worst <= FALSE_PAGES,
    )


def weeks() -> Iterator[bool]:
    """Show the verdict over all calls since the deployment, looked at every hour for a week."""
    print("\nverdict over all calls: fails at any look in a week / after a day, in per cent")
    wrong = 0.0
    for calls in CALLS[:3]:
        shown = []
        for slower in (1.0, 1.3):
            progress(f"weeks of {calls} calls an hour")
            ever, after_a_day = weeks_judged(World(calls, 1.0, 0.1), slower, WEEKS, seed=9)
            shown.append(f"{slower:g}x {100 * ever / WEEKS:.3g}/{100 * after_a_day / WEEKS:.3g}")
            if slower == 1.0:
                wrong = max(wrong, at_most(ever, WEEKS))
        progress("")
        print(f"  {calls:>5} σ 1 C   " + "   ".join(shown))
    yield claim(
        f"in at most {EVER_WRONG:.0%} of all weeks it ever fails for noise"
        f" (upper bound {wrong:.2%})",
        holds=wrong <= EVER_WRONG,
    )
    crossed = crossing(CONFIDENCE_Z, math.log(168), paths=100_000)
    yield claim(
        f"z crosses {CONFIDENCE_Z} at any moment from hour 1 to 168 in at most {EVER_WRONG:.0%}"
        f" ({crossed:.2%})",
        holds=crossed <= EVER_WRONG,
    )


def crossing(bound: float, log_span: float, paths: int, step: float = 0.004) -> float:
    """Return how often W(t)/√t exceeds a bound, W being Brownian motion, in a span of ln t.

    In ln t it is an Ornstein-Uhlenbeck process, of which every step can be drawn exactly.
    """
    random = np.random.default_rng(10)
    kept = math.exp(-step / 2)
    value = random.standard_normal(paths)
    greatest = value.copy()
    for _ in range(round(log_span / step)):
        value = kept * value + math.sqrt(1 - kept**2) * random.standard_normal(paths)
        np.maximum(greatest, value, out=greatest)
    return float((greatest > bound).mean())


def main() -> int:
    """Run the benchmark; return 1 if a claim does not hold."""
    started = time.monotonic()
    parts = (table, baselines, mixes, outliers, fast_pages, weeks)
    hold = [held for part in parts for held in part()]
    print(f"\n{time.monotonic() - started:.0f} s")
    return 0 if all(hold) else 1


if __name__ == "__main__":
    sys.exit(main())

"""What the rule finds in databases that behave as told: `bench/bench_decision_rule.py`, shorter.

Shares are compared with what the benchmark claims; it draws enough to be sure of it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.simulation import After, pairs_judged, weeks_judged
from bench.worlds import World
from exporter.comparison.rule import FAST_PAGE

RESTLESS = World(500, 1.0, 0.1)
"""500 calls an hour; hours differ by 10 %."""


@pytest.mark.parametrize("calls", [5, 50, 500])
@pytest.mark.parametrize("log_stddev", [0.5, 1.5])
def test_noise_does_not_page_though_the_ratio_alone_would(calls: int, log_stddev: float) -> None:
    (none,) = pairs_judged(replace(RESTLESS, calls=calls, log_stddev=log_stddev), [After()], 500, 1)
    assert none.pair_pages == 0
    assert none.window_pages <= 0.01 * 2 * none.pairs
    assert none.slow_windows > 0.02 * 2 * none.pairs


@pytest.mark.parametrize("hours", [3, 6])
def test_noise_does_not_page_after_a_short_baseline(hours: int) -> None:
    world = replace(RESTLESS, log_stddev=0.5, baseline_hours=hours)
    (none,) = pairs_judged(world, [After()], 2_000, 2)
    assert none.pair_pages <= 0.001 * none.pairs


@pytest.mark.parametrize("hour_log_stddev", [0.0, 0.1])
def test_doubled_time_is_found(hour_log_stddev: float) -> None:
    world = replace(RESTLESS, hour_log_stddev=hour_log_stddev)
    (twice,) = pairs_judged(world, [After(2.0)], 300, 3)
    assert twice.pair_pages >= 0.9 * twice.pairs


def test_another_mix_alone_does_not_page() -> None:
    world = World(500, 1.0, 0.1, (0.001, 0.050), (0.9, 0.1))
    mixes = [After(shares=(0.25, 0.75)), After(shares=(0.8, 0.2))]
    for tally in pairs_judged(world, mixes, 500, 4):
        assert tally.pair_pages == 0


@pytest.mark.parametrize(
    "world",
    [RESTLESS, World(500, 0.5, 0.1, (0.001, 0.005, 2.0), (0.6, 0.39, 0.01))],
    ids=["even", "most time in a rare call"],
)
def test_one_outlier_pages_neither_slowly_nor_fast(world: World) -> None:
    (tally,) = pairs_judged(world, [After(outliers=True)], 300, 5)
    assert tally.pair_pages == 0
    quarter = After(outliers=True, window_calls=world.calls // 4)
    (fast,) = pairs_judged(world, [quarter], 300, 6, limits=FAST_PAGE)
    assert fast.window_pages == 0
    assert fast.slow_windows > 0.2 * 2 * fast.pairs


def test_verdict_finds_in_a_day_what_no_window_can_and_bears_being_looked_at() -> None:
    ever, _ = weeks_judged(RESTLESS, 1.0, 60, 7)
    assert ever <= 0.05 * 60
    _, after_a_day = weeks_judged(RESTLESS, 1.3, 60, 8)
    assert after_a_day >= 0.9 * 60

"""The rule in simulated databases: `bench/bench_decision_rule.py`, shorter.

Shares are compared with what the benchmark claims; it draws enough to be sure of it.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.arrays import Hours, looks, slow_at
from bench.simulation import Known, fired, learn, slowed, verdicts
from bench.worlds import World, draw
from exporter.comparison.class_hours import ClassCalls, ClassHour
from exporter.comparison.class_verdict import judge
from exporter.comparison.rule import ALERT_WINDOWS, SLICES
from exporter.comparison.single_statements import CountedStatement, StatementCalls
from exporter.comparison.sums import Sums
from exporter.comparison.window import is_slow
from exporter.deployment.records import Outcome

if TYPE_CHECKING:
    from bench.worlds import Floats, History
    from exporter.comparison.rule import AlertWindow

ORDINARY = World(200)


def histories(world: World, count: int, seed: int) -> list[tuple[Known, History]]:
    drawn = [draw(world, np.random.default_rng([seed, number])) for number in range(count)]
    return [(learn(each.baseline, each.baseline_rows), each) for each in drawn]


def _sums(columns: Floats) -> Sums:
    calls, *others = columns.tolist()
    return Sums(round(calls), *others)


@pytest.mark.parametrize(
    ("factor", "stops_at"), [(1.0, 168), (1.5, 168), (1.0, 110)], ids=["same", "slower", "stops"]
)
def test_arrays_decide_as_the_exporter_does(factor: float, stops_at: int) -> None:
    """The benchmark looks at millions of windows, which takes arrays instead of its functions."""
    ((known, history),) = histories(ORDINARY, 1, 1)
    week = slowed(history.week, factor, 30)
    by_hour, rows = known.sums(week.by(60)), history.week_rows.copy()
    by_hour[:, :, stops_at:] = rows[:, stops_at:] = 0
    expected_rows = known.rows[:, None] * by_hour[0]
    seen = looks(Hours(by_hour, rows, expected_rows, known.usual_calls, known.shares), known.noise)
    hours = [
        ClassHour(
            3600.0 * hour,
            ClassCalls(
                watched_hours=1.0,
                sums=_sums(by_hour[:, :, hour].sum(1)),
                rows=round(rows[:, hour].sum()),
                expected_rows=expected_rows[:, hour].sum(),
                calls=round(by_hour[0, :, hour].sum()),
                usual_calls=known.usual_calls[hour],
                covered_seconds=by_hour[1, :, hour].sum(),
            ),
        )
        for hour in range(168)
    ]
    outcomes = set()
    for look in range(0, 168, 5):
        so_far = by_hour[:, :, : look + 1].sum(2).T
        returned = (each[:, : look + 1].sum(1) for each in (rows, expected_rows))
        statements = [
            StatementCalls("", _sums(each), round(seen_rows), expected)
            for each, seen_rows, expected in zip(so_far, *returned, strict=True)
        ]
        usual = known.usual_calls[: look + 1].sum()
        total = so_far[:, 0].sum()
        counted = [
            CountedStatement("", round(own), usual * share, round(total - own), usual * (1 - share))
            for own, share in zip(so_far[:, 0], known.shares, strict=True)
        ]
        found = judge(hours[: look + 1], known.noise, statements=statements, usual=counted).outcome
        outcomes.add(found)
        assert (found is Outcome.PASS, found is Outcome.FAIL) == (
            seen.passed[look],
            seen.failed[look],
        )
    assert len(outcomes) > 1


@pytest.mark.parametrize("window", ALERT_WINDOWS, ids=lambda window: window.label)
def test_arrays_page_as_the_exporter_does(window: AlertWindow) -> None:
    ((known, history),) = histories(ORDINARY, 1, 2)
    sums = known.sums(slowed(history.week, 4.0, 20), 60).sum(1)
    slow = slow_at(window, sums, known.noise)
    minutes = round(60 * window.hours)
    decided = set()
    for number in range(0, slow.size, 29):
        end = 5 * (number + 1)
        if end < minutes:
            continue
        step = minutes // SLICES
        parts = [
            _sums(sums[:, end - (part + 1) * step : end - part * step].sum(1))
            for part in range(SLICES)
        ]
        if step * SLICES != minutes:
            continue
        decided.add(bool(slow[number]))
        assert is_slow(window, parts, known.noise, 1.0) == slow[number]
    assert decided == {True, False}


def test_noise_neither_pages_nor_fails_and_the_deployment_gets_its_go() -> None:
    drawn = histories(ORDINARY, 12, 3)
    assert sum(fired(known, each.week).pages for known, each in drawn) == 0
    seen = [verdicts(known, each.week, each.week_rows) for known, each in drawn]
    assert sum(each.failed.any() for each in seen) <= 1
    assert sum(each.passed.any() for each in seen) >= 9


def test_slow_down_pages_within_a_day_and_never_passes() -> None:
    paged_after = []
    for known, each in histories(ORDINARY, 9, 4):
        twice = slowed(each.week, 2.0)
        paged_after.append(fired(known, twice).first_page_hours)
        looked = verdicts(known, twice, each.week_rows)
        assert looked.failed.any()
        assert not looked.passed.any()
    assert median(paged_after) <= 24


def test_slow_down_that_begins_late_takes_the_pass_back_within_a_day() -> None:
    for known, each in histories(World(500), 6, 5):
        looked = verdicts(known, slowed(each.week, 2.0, 96), each.week_rows)
        assert not looked.passed[96 + 23]


def test_incident_in_the_baseline_hides_no_slow_down() -> None:
    for known, each in histories(World(200, scale=1.0), 6, 6):
        spoilt = learn(each.baseline.with_incident(34), each.baseline_rows)
        assert verdicts(spoilt, slowed(each.week, 2.0), each.week_rows).failed.any()
        assert spoilt.means.mean() == pytest.approx(known.means.mean(), rel=0.05)

"""The tracked numbers of the last day: one point a minute, no more than a day, and no invention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.clock import Clock
from exporter.collect.store import SnapshotStore
from exporter.comparison.sums import Sums
from exporter.run_state import State
from exporter.verdict.trend import MOST_POINTS, Trend
from tests.support.judging import make_deployment, make_evidence
from tests.support.queries import make_query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.comparison.calls import ClassRole

NOW = 1_800_000_000.0
QUERIES = (make_query("number", {"loom_number": {"value": "number"}}),)
TRACKED = make_deployment(
    """
tracked:
  - {title: Number, metric: loom_number}
  - {title: Mean time, class: quick}
"""
).tracked


class _Watched:
    """A query that says what it is told, and the trend that is made of it."""

    def __init__(self, hour_seconds: float = 3600.0) -> None:
        self.trend = Trend(TRACKED, Clock(hour_seconds))
        self._snapshots = SnapshotStore(QUERIES, {query.name: 60.0 for query in QUERIES})

    def record(
        self,
        at: float,
        number: float | None = None,
        times: Mapping[ClassRole, tuple[float, float]] | None = None,
    ) -> tuple[float | None, ...]:
        if number is None:
            self._snapshots.fail("number", State.DENIED, "")
        else:
            self._snapshots.publish("number", State.OK, {"loom_number": {(): number}})
        matched = {
            place: Sums(seconds=actual, expected_seconds=expected)
            for place, (actual, expected) in (times or {}).items()
        }
        self.trend.record(make_evidence(self._snapshots, later=0.0, now=at, matched=matched))
        return self.trend.points[-1].values


def test_there_is_one_point_a_minute() -> None:
    watched = _Watched()
    for seconds in range(0, 300, 15):
        watched.record(NOW + seconds, number=1.0)
    assert [point.at - NOW for point in watched.trend.points] == [0, 60, 120, 180, 240]


def test_minute_is_as_short_as_the_rehearsal_makes_it() -> None:
    watched = _Watched(hour_seconds=3.0)
    for seconds in range(10):
        watched.record(NOW + seconds, number=1.0)
    assert len(watched.trend.points) == 10


def test_no_more_than_a_day_is_kept() -> None:
    watched = _Watched()
    for minute in range(MOST_POINTS + 5):
        watched.record(NOW + 60 * minute, number=float(minute))
    points = watched.trend.points
    assert len(points) == MOST_POINTS == 24 * 60
    assert points[0].values[0] == 5.0
    assert points[-1].values[0] == MOST_POINTS + 4


def test_reader_keeps_what_it_has() -> None:
    watched = _Watched()
    watched.record(NOW, number=1.0)
    points = watched.trend.points
    watched.record(NOW + 60, number=2.0)
    assert [point.values[0] for point in points] == [1.0]


def test_what_is_not_known_is_no_zero() -> None:
    assert _Watched().record(NOW) == (None, None)


def test_class_is_actual_over_expected_time_of_all_its_roles() -> None:
    watched = _Watched()
    watched.record(NOW, times={("quick", "anon"): (1.0, 1.0), ("slow", "anon"): (0.0, 0.0)})
    assert watched.trend.points[-1].values == (None, None), "nothing was called meanwhile"
    later = {
        ("quick", "anon"): (3.0, 2.0),
        ("quick", "admin"): (1.0, 1.0),
        ("slow", "anon"): (9.0, 1.0),
    }
    assert watched.record(NOW + 60, times=later)[1] == pytest.approx((4.0 - 1.0) / (3.0 - 1.0))


def test_time_is_that_of_the_last_quarter_of_an_hour() -> None:
    watched = _Watched()
    actual = expected = 0.0
    values = []
    for minute in range(40):
        actual, expected = actual + (1.0 if minute < 20 else 3.0), expected + 1.0
        times = {("quick", "anon"): (actual, expected)}
        values.append(watched.record(NOW + 60 * minute, times=times)[1])
    assert values[19] == pytest.approx(1.0)
    assert values[20] == pytest.approx((14 * 1 + 3) / 15)
    assert values[34] == pytest.approx(3.0)
    assert values[33] != pytest.approx(3.0)


def test_no_ratio_is_shown_while_calls_are_not_counted() -> None:
    watched = _Watched()
    for minute in range(3):
        watched.record(NOW + 60 * minute, times={("quick", "anon"): (2.0 * minute, 1.0 * minute)})
    assert watched.record(NOW + 180)[1] is None
    after = watched.record(NOW + 240, times={("quick", "anon"): (8.0, 4.0)})
    assert after[1] == pytest.approx(2.0)


def test_clock_that_is_set_back_draws_no_line_back() -> None:
    watched = _Watched()
    for at in (NOW, NOW + 60, NOW + 120, NOW + 30, NOW + 90):
        watched.record(at, number=1.0)
    assert [point.at - NOW for point in watched.trend.points] == [0, 30, 90]

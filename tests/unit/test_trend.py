"""The tracked numbers of the last day: one point a minute, no more than a day, and no invention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from exporter.clock import Clock
from exporter.collect.store import SnapshotStore
from exporter.database.outcome import State
from exporter.learning.metrics import MATCHED
from exporter.verdict.trend import MOST_POINTS, Trend
from tests.support.judging import make_deployment, make_evidence
from tests.support.queries import make_query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.catalog import Metric

NOW = 1_800_000_000.0
TIMES = (
    "loom_statement_matched_exec_seconds_total",
    "loom_statement_expected_exec_seconds_total",
)


class _Feed(NamedTuple):
    name: str
    metrics: Mapping[str, Metric]


FEEDS = (make_query("number", {"loom_number": {"value": "number"}}), _Feed("times", MATCHED))
TRACKED = make_deployment(
    """
tracked:
  - {title: Number, metric: loom_number}
  - {title: Mean time, class: quick}
"""
).tracked


class _Watched:
    """A board that says what it is told, and the trend that is made of it."""

    def __init__(self, hour_seconds: float = 3600.0) -> None:
        self.trend = Trend(TRACKED, Clock(hour_seconds))
        self._board = SnapshotStore(FEEDS, {feed.name: 60.0 for feed in FEEDS})

    def take(
        self,
        at: float,
        number: float | None = None,
        times: Mapping[Any, tuple[float, float]] | None = None,
    ) -> tuple[float | None, ...]:
        if number is None:
            self._board.fail("number", State.DENIED, "")
        else:
            self._board.publish("number", State.OK, {"loom_number": {(): number}})
        if times is None:
            self._board.fail("times", State.ERROR, "")
        else:
            samples = {
                metric: {place: both[index] for place, both in times.items()}
                for index, metric in enumerate(TIMES)
            }
            self._board.publish("times", State.OK, samples)
        self.trend.take(make_evidence(self._board, later=0.0, now=at))
        return self.trend.points[-1].values


def test_there_is_one_point_a_minute() -> None:
    watched = _Watched()
    for seconds in range(0, 300, 15):
        watched.take(NOW + seconds, number=1.0)
    assert [point.at - NOW for point in watched.trend.points] == [0, 60, 120, 180, 240]


def test_minute_is_as_short_as_the_rehearsal_makes_it() -> None:
    watched = _Watched(hour_seconds=3.0)
    for seconds in range(10):
        watched.take(NOW + seconds, number=1.0)
    assert len(watched.trend.points) == 10


def test_no_more_than_a_day_is_kept() -> None:
    watched = _Watched()
    for minute in range(MOST_POINTS + 5):
        watched.take(NOW + 60 * minute, number=float(minute))
    points = watched.trend.points
    assert len(points) == MOST_POINTS == 24 * 60
    assert points[0].values[0] == 5.0
    assert points[-1].values[0] == MOST_POINTS + 4


def test_reader_keeps_what_it_has() -> None:
    watched = _Watched()
    watched.take(NOW, number=1.0)
    points = watched.trend.points
    watched.take(NOW + 60, number=2.0)
    assert [point.values[0] for point in points] == [1.0]


def test_what_is_not_known_is_no_zero() -> None:
    assert _Watched().take(NOW) == (None, None)


def test_class_is_actual_over_expected_time_of_all_its_roles() -> None:
    watched = _Watched()
    watched.take(NOW, times={("quick", "anon"): (1.0, 1.0), ("slow", "anon"): (0.0, 0.0)})
    assert watched.trend.points[-1].values == (None, None), "nothing was called meanwhile"
    later = {
        ("quick", "anon"): (3.0, 2.0),
        ("quick", "admin"): (1.0, 1.0),
        ("slow", "anon"): (9.0, 1.0),
    }
    assert watched.take(NOW + 60, times=later)[1] == pytest.approx((4.0 - 1.0) / (3.0 - 1.0))


def test_time_is_that_of_the_last_quarter_of_an_hour() -> None:
    watched = _Watched()
    actual = expected = 0.0
    values = []
    for minute in range(40):
        actual, expected = actual + (1.0 if minute < 20 else 3.0), expected + 1.0
        times = {("quick", "anon"): (actual, expected)}
        values.append(watched.take(NOW + 60 * minute, times=times)[1])
    assert values[19] == pytest.approx(1.0)
    assert values[20] == pytest.approx((14 * 1 + 3) / 15)
    assert values[34] == pytest.approx(3.0)
    assert values[33] != pytest.approx(3.0)


def test_no_ratio_is_shown_while_calls_are_not_counted() -> None:
    watched = _Watched()
    for minute in range(3):
        watched.take(NOW + 60 * minute, times={("quick", "anon"): (2.0 * minute, 1.0 * minute)})
    assert watched.take(NOW + 180)[1] is None
    after = watched.take(NOW + 240, times={("quick", "anon"): (8.0, 4.0)})
    assert after[1] == pytest.approx(2.0)


def test_clock_that_is_set_back_draws_no_line_back() -> None:
    watched = _Watched()
    for at in (NOW, NOW + 60, NOW + 120, NOW + 30, NOW + 90):
        watched.take(at, number=1.0)
    assert [point.at - NOW for point in watched.trend.points] == [0, 30, 90]

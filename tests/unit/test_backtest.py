"""The rule of alerts on the baseline itself: what it decides, and for what it would have paged."""

from __future__ import annotations

import pytest

from exporter.comparison.backtest import Replay, replay
from exporter.comparison.sums import Sums
from exporter.comparison.window_noise import BaselineNoise

NOISE = BaselineNoise(0.01, 0.01, 0.01, 0.01)
SLOW = Sums(1000, 4.0, 2.0, 0.002, 0.0002, 0.0022)
QUIET = Sums(1000, 2.0, 2.0, 0.002, 0.0002, 0.0002)
CHEAP = Sums(1000, 1.9, 1.0, 0.001, 0.0001, 0.0011)
RARE = Sums(4, 4.0, 2.0, 0.5, 0.0002, 0.52)


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ([], Replay(0, 0, 0)),
        ([QUIET] * 3, Replay(3, 0, 0)),
        ([SLOW, QUIET, SLOW], Replay(3, 0, 0)),
        ([QUIET, SLOW, SLOW, QUIET], Replay(4, 1, 0)),
        ([SLOW] * 5, Replay(5, 1, 0)),
        ([SLOW, SLOW, QUIET, SLOW, SLOW], Replay(5, 2, 0)),
        ([SLOW, Sums(), SLOW], Replay(2, 0, 0)),
        ([SLOW, RARE, SLOW], Replay(2, 0, 0)),
        ([CHEAP, CHEAP], Replay(2, 0, 0)),
        ([SLOW] * 24, Replay(24, 1, 1)),
        ([QUIET] * 24, Replay(24, 0, 0)),
    ],
)
def test_two_windows_in_a_row_page_once_and_a_day_opens_a_ticket(
    hours: list[Sums], expected: Replay
) -> None:
    by_start = {3600.0 * number: sums for number, sums in enumerate(hours) if sums.calls}
    assert replay(by_start, NOISE) == expected


def test_six_slow_hours_twice_page_where_single_hours_have_too_few_calls() -> None:
    rare = Sums(4, 4.0, 2.0, 1.0, 0.0002, 1.01)
    hours = {3600.0 * number: rare for number in range(12)}
    assert replay(hours, NOISE).pages == 1

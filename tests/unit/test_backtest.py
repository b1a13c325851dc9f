"""The rule on the baseline itself: what it decides, and for what it would have paged."""

from __future__ import annotations

import pytest

from exporter.comparison.backtest import Backtest, backtest
from exporter.comparison.rule import Noise, Sums

NOISE = Noise(0.01, 0.01)
SLOW = (Sums(1000, 2.0, 1.0, 0.001, 0.0001, 0.0011), NOISE, 1.0)
QUIET = (Sums(1000, 1.0, 1.0, 0.001, 0.0001, 0.0001), NOISE, 1.0)
EMPTY = (Sums(), NOISE, 1.0)
RARE = (Sums(4, 2.0, 1.0, 0.25, 0.0001, 0.26), NOISE, 1.0)
UNCOVERED = (SLOW[0], NOISE, 0.8)


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ([], Backtest(0, 0)),
        ([QUIET] * 3, Backtest(3, 0)),
        ([SLOW, QUIET, SLOW], Backtest(3, 0)),
        ([QUIET, SLOW, SLOW, QUIET], Backtest(4, 1)),
        ([SLOW] * 5, Backtest(5, 1)),
        ([SLOW, SLOW, QUIET, SLOW, SLOW], Backtest(5, 2)),
        ([SLOW, EMPTY, SLOW], Backtest(2, 0)),
        ([SLOW, RARE, SLOW], Backtest(2, 0)),
        ([SLOW, UNCOVERED, SLOW], Backtest(2, 0)),
    ],
)
def test_two_windows_in_a_row_page_once(
    hours: list[tuple[Sums, Noise, float]], expected: Backtest
) -> None:
    assert backtest({"one": hours}, 0.5) == expected


def test_classes_are_counted_together_and_decided_apart() -> None:
    assert backtest({"one": [SLOW], "two": [SLOW]}, 0.5) == Backtest(2, 0)
    assert backtest({"one": [SLOW, SLOW], "two": [SLOW, SLOW]}, 0.5) == Backtest(4, 2)


def test_slow_down_that_cost_little_does_not_page() -> None:
    assert backtest({"one": [SLOW, SLOW]}, 1.5) == Backtest(2, 0)

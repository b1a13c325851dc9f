"""Lines as small as a word: they stay within their frame, lose no peak, and invent nothing."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.render.sparkline import HEIGHT, WIDTH, Sparkline, sparkline

NUMBERS = st.floats(-1e12, 1e12)
SERIES = st.lists(st.one_of(st.none(), NUMBERS), min_size=1, max_size=300).map(
    lambda values: [(1_800_000_000.0 + 60 * index, value) for index, value in enumerate(values)]
)


def _drawn(line: Sparkline) -> list[list[tuple[float, float]]]:
    """Return the points of each part of a path."""
    return [
        [(float(x), float(y)) for x, y in re.findall(r"([-\d.e+]+) ([-\d.e+]+)", part)]
        for part in line.path.split("M")[1:]
    ]


@given(SERIES, st.one_of(st.none(), NUMBERS))
def test_line_stays_in_its_frame_and_goes_forward(
    series: list[tuple[float, float | None]], level: float | None
) -> None:
    line = sparkline(series, level)
    known = [value for _, value in series if value is not None]
    if not known:
        assert line is None
        return
    assert line
    assert (line.least, line.most) == (min(known), max(known))
    assert (line.first, line.last) == (known[0], known[-1])
    for part in _drawn(line):
        for (x, _), (next_x, _) in pairwise(part):
            assert x <= next_x
    points = [point for part in _drawn(line) for point in part]
    for x, y in [*points, line.end]:
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT
    assert line.level_y is None or 0 <= line.level_y <= HEIGHT
    assert points[-1] == line.end


@given(SERIES)
def test_gap_is_a_gap(series: list[tuple[float, float | None]]) -> None:
    line = sparkline(series)
    runs = "".join(" " if value is None else "x" for _, value in series).split()
    assert len(_drawn(line) if line else []) == len(runs)


@given(st.integers(0, 1439))
def test_no_peak_is_lost_in_a_day_of_points(minute: int) -> None:
    line = sparkline([(60.0 * at, 9.0 if at == minute else 1.0) for at in range(1440)])
    assert line
    (part,) = _drawn(line)
    assert len(part) < 150
    assert min(y for _, y in part) == 3
    assert max(y for _, y in part) == HEIGHT - 3


def test_greater_is_higher() -> None:
    line = sparkline([(0.0, 1.0), (60.0, 5.0)])
    assert line
    ((start, end),) = _drawn(line)
    assert end[1] < start[1]


def test_trifle_is_no_mountain() -> None:
    line = sparkline([(0.0, 300.0), (60.0, 301.0)])
    assert line
    ((start, end),) = _drawn(line)
    assert start[1] - end[1] < HEIGHT / 20


def test_deployment_is_marked_where_it_is_within_the_points() -> None:
    points = [(0.0, None), (60.0, 1.0), (120.0, 1.0)]
    at = {marked: sparkline(points, marked_at=marked) for marked in (-1.0, 0.0, 60.0, 121.0)}
    assert [line and line.mark_x for line in at.values()] == [None, 3.0, WIDTH / 2, None]


def test_lines_of_the_same_time_have_the_same_axis() -> None:
    late = sparkline([(0.0, None), (60.0, 1.0), (120.0, 1.0)])
    early = sparkline([(0.0, 1.0), (60.0, 1.0), (120.0, None)])
    assert late
    assert early
    assert _drawn(late)[0][0][0] == early.end[0] == pytest.approx(WIDTH / 2)

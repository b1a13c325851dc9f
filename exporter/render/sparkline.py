"""A sparkline: points in, the geometry of an SVG out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

WIDTH, HEIGHT = 120, 32

_MARGIN = 3
_COLUMNS = 60
"""With more points than this, only the minimum and maximum of each column are drawn."""

_LEAST_SPAN = 0.2
"""Least range of the y axis, as a share of the greatest value: a tiny change is drawn as tiny."""

Value = tuple[float, float]
"""A Unix time, and the value then."""


@dataclass(frozen=True, slots=True)
class Sparkline:
    """What is drawn, in units of `WIDTH` and `HEIGHT`; y grows downwards, as in SVG."""

    path: str
    end: tuple[float, float]
    """Position of the latest value."""
    level_y: float | None
    mark_x: float | None
    first: float
    last: float
    least: float
    most: float
    seconds: float
    """Time from the first value to the last."""


def sparkline(
    points: Sequence[tuple[float, float | None]],
    level: float | None = None,
    marked_at: float | None = None,
) -> Sparkline | None:
    """Return the line through the points, or None if no value is known.

    Args:
        points: Unix times in ascending order with their values; None makes a gap in the line.
        level: a value for a horizontal line, which the y axis always includes.
        marked_at: Unix time of a vertical line, drawn if the points include that time.
    """
    runs = [
        [(at, value) for at, value in run if value is not None]
        for is_known, run in groupby(points, key=lambda point: point[1] is not None)
        if is_known
    ]
    known = [each for run in runs for each in run]
    if not known:
        return None
    begins, ends = (
        points[0][0],
        points[-1][0],
    )  # gaps included, so that all lines of a table share one x axis
    values = [value for _, value in known]
    shown = values if level is None else [*values, level]
    least, most = min(shown), max(shown)
    span = max(most - least, _LEAST_SPAN * max(abs(least), abs(most))) or 1.0
    middle = (least + most) / 2

    def x(at: float) -> float:
        share = (at - begins) / (ends - begins) if ends > begins else 1.0
        return round(_MARGIN + share * (WIDTH - 2 * _MARGIN), 1)

    def y(value: float) -> float:
        return round(HEIGHT / 2 - (value - middle) / span * (HEIGHT - 2 * _MARGIN), 1)

    lines = ([(x(at), y(value)) for at, value in _thinned(run, begins, ends)] for run in runs)
    mark_x = x(marked_at) if marked_at is not None and begins <= marked_at <= ends else None
    return Sparkline(
        path=" ".join(_path(line) for line in lines),
        end=(x(known[-1][0]), y(values[-1])),
        level_y=None if level is None else y(level),
        mark_x=mark_x,
        first=values[0],
        last=values[-1],
        least=min(values),
        most=max(values),
        seconds=known[-1][0] - known[0][0],
    )


def _thinned(run: Sequence[Value], begins: float, ends: float) -> Iterable[Value]:
    """Return few enough values to be told apart in the drawing; every peak is kept."""
    if len(run) <= _COLUMNS:
        yield from run
        return
    width = (ends - begins) / _COLUMNS
    for _, column in groupby(run, key=lambda value: int((value[0] - begins) / width)):
        values = list(column)
        extremes = {min(values, key=_value), max(values, key=_value)}
        yield from sorted(extremes | {values[-1]} if values[-1] == run[-1] else extremes)


def _value(value: Value) -> float:
    return value[1]


def _path(line: Sequence[tuple[float, float]]) -> str:
    first, *others = [f"{x:g} {y:g}" for x, y in line]
    # A line from a point to itself, with round ends, is a dot.
    return f"M{first}L{' '.join(others or [first])}"

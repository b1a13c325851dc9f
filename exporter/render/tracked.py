"""The table of before and after: each tracked number with its change and its trend."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from exporter.render.sparkline import Sparkline, sparkline
from exporter.verdict.assess import Assessment, Row
from exporter.verdict.trend import Point
from exporter.wording import UNKNOWN, age, number, quantity

TIMES = (
    "Times cover the statements that are in the baseline. Before is what the calls since the "
    "deployment would have taken at the mean times of the baseline, so a different mix of calls "
    "does not show as a change."
)


@dataclass(frozen=True, slots=True)
class TrackedRow:
    """One row, as it is shown."""

    title: str
    before: str
    after: str
    change: str
    latest: str
    """The last value of the line."""
    line: Sparkline | None
    description: str
    """What the line shows, for a screen reader."""


def tracked_rows(assessment: Assessment, points: Sequence[Point] = ()) -> Iterator[TrackedRow]:
    """Yield the rows of an assessment; each point has one value for each row, in their order."""
    for index, row in enumerate(assessment.tracked):
        line = sparkline(
            [(point.at, point.values[index]) for point in points],
            1.0 if row.is_time else row.before,
            assessment.deployed.began_at,
        )
        yield TrackedRow(
            row.title,
            quantity(row.before, is_time=row.is_time),
            quantity(row.after, is_time=row.is_time),
            _change(row),
            _value(row, line.last) if line else UNKNOWN,
            line,
            _description(row, line) if line else "",
        )


def _change(row: Row) -> str:
    """Return the change: in percent for a time, else as a difference."""
    if row.before is None or row.after is None:
        return ""
    if row.before == row.after:
        return "unchanged"
    if not row.is_time:
        text = f"{row.after - row.before:+.12g}"
    else:
        text = f"{100 * (row.after / row.before - 1):+.0f} %" if row.before else ""
    return text.replace("-", "−")


def _value(row: Row, value: float) -> str:
    return f"{value:.2f} ×" if row.is_time else number(value)


def _description(row: Row, line: Sparkline) -> str:
    first, last, least, most = (
        _value(row, value) for value in (line.first, line.last, line.least, line.most)
    )
    what = "actual over expected time" if row.is_time else row.title
    span = age(line.seconds)
    return f"{what}: from {first} to {last} within {span}, minimum {least}, maximum {most}"

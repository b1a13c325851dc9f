"""The table of before and after, each number with a line of how it went lately."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from exporter.verdict.assess import Assessment, Row
from exporter.verdict.trend import Point
from exporter.web.sparkline import Sparkline, sparkline
from exporter.wording import UNKNOWN, age, number, quantity


@dataclass(frozen=True, slots=True)
class TrackedRow:
    """One row, as it is read."""

    title: str
    before: str
    after: str
    change: str
    lately: str
    line: Sparkline | None
    told: str
    """What the line shows, for those who do not see it."""


def tracked_rows(assessment: Assessment, points: Sequence[Point]) -> Iterator[TrackedRow]:
    """Yield the rows of an assessment; `points` has a value for each of them, in their order."""
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
            _lately(row, line.last) if line else UNKNOWN,
            line,
            _told(row, line) if line else "",
        )


def _change(row: Row) -> str:
    """Return by how much: in percent for a time, else as a difference."""
    if row.before is None or row.after is None:
        return ""
    if row.before == row.after:
        return "unchanged"
    if not row.is_time:
        return _signed(f"{row.after - row.before:+.12g}")
    return _signed(f"{100 * (row.after / row.before - 1):+.0f} %") if row.before else ""


def _signed(text: str) -> str:
    return text.replace("-", "−")


def _lately(row: Row, value: float) -> str:
    return f"{value:.2f} ×" if row.is_time else number(value)


def _told(row: Row, line: Sparkline) -> str:
    first, last, least, most = (
        _lately(row, value) for value in (line.first, line.last, line.least, line.most)
    )
    what = "actual over expected time" if row.is_time else row.title
    return (
        f"{what}: from {first} to {last} within {age(line.seconds)}, "
        f"at least {least} and at most {most}"
    )

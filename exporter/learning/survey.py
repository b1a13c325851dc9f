"""Selects the statements of a baseline, of all that were called in the hours before it.

The hours are read one after the other: first to find out which statements matter, then again for
a few of these at a time, because the numbers of all of them would not fit into memory.
"""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from exporter.baseline import artefact
from exporter.catalog.deployment import OTHER
from exporter.comparison.incidents import HourOfCalls
from exporter.learning.hours import RecordedHour
from exporter.statements.counters import Delta

MOST_STATEMENTS_KEPT = 1_000
"""A baseline keeps at most these: those of classes first, then those that took most time."""

ClassRole = tuple[str, str]
"""Class and role."""

Excluder = Callable[[float, float], str | None]
"""Returns why the time between two Unix times is left out; None if it is not."""

_SURVEYED = 20 * MOST_STATEMENTS_KEPT
"""Statements that are compared at once, so that those called only once do not fill the memory."""


class StatementRole(NamedTuple):
    """A statement as it ran as one role, in any class."""

    identity: str
    role: str


@dataclass(slots=True)
class Survey:
    """What has to be known before the hours are read again."""

    watched: dict[float, float] = field(default_factory=dict)
    """How long each hour was watched, in seconds, by the Unix time at which it began."""
    calls: defaultdict[ClassRole, dict[float, int]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    """By hour, of all statements."""
    excluded: list[artefact.Excluded] = field(default_factory=list)
    evictions: int = 0
    left_out: int = 0
    seconds: defaultdict[StatementRole, float] = field(default_factory=lambda: defaultdict(float))
    classes: dict[StatementRole, str] = field(default_factory=dict)
    """Of the latest hour: the rules may have changed meanwhile."""

    def keep(self, most: int) -> None:
        """Leave out all but the `most` statements that matter most."""
        ranked = sorted(
            self.seconds,
            key=lambda each: (self.classes[each] == OTHER, -self.seconds[each], each),
        )
        self.left_out += len(ranked[most:])
        self.seconds = defaultdict(float, {name: self.seconds[name] for name in ranked[:most]})
        self.classes = {name: self.classes[name] for name in ranked[:most]}


@dataclass(slots=True)
class Hours:
    """The hours of one statement, as an array: there may be many."""

    numbers: "array[float]" = field(default_factory=lambda: array("d"))

    def append(self, start: float, delta: Sequence[float]) -> None:
        """Add the calls of the hour that began at a Unix time, as the fields of `Delta`."""
        self.numbers.append(start)
        self.numbers.extend(delta)

    def __iter__(self) -> Iterator[HourOfCalls]:
        numbers = iter(self.numbers)
        for start, calls, seconds, squared, rows, hit, read, planned in zip(
            *[numbers] * 8, strict=True
        ):
            delta = Delta(int(calls), seconds, squared, int(rows), int(hit), int(read), planned)
            yield HourOfCalls(start, delta)


def nothing_excluded(start: float, end: float) -> str | None:
    """Return that no time is left out by people."""
    del start, end
    return None


def survey_of(
    hours: Iterable[tuple[float, RecordedHour]], hour_seconds: float, excluded: Excluder
) -> Survey:
    """Return which time is covered, and which statements are kept."""
    survey = Survey()
    for start, hour in hours:
        survey.evictions += hour.evictions
        if reason := hour.excluded or excluded(start, start + hour_seconds):
            survey.excluded.append(
                artefact.Excluded(start=utc(start), end=utc(start + hour_seconds), reason=reason)
            )
            continue
        survey.watched[start] = hour.watched_seconds
        for identity, role, class_name, calls, seconds, *_ in hour.statements:
            of_class = survey.calls[class_name, role]
            of_class[start] = of_class.get(start, 0) + calls
            name = StatementRole(identity, role)
            survey.seconds[name] += seconds
            survey.classes[name] = class_name
        if len(survey.seconds) > _SURVEYED:
            survey.keep(_SURVEYED // 2)
    survey.keep(MOST_STATEMENTS_KEPT)
    return survey


def hours_of(
    hours: Iterable[tuple[float, RecordedHour]], survey: Survey, names: Iterable[StatementRole]
) -> dict[StatementRole, Hours]:
    """Return the hours of these statements, without those that the survey leaves out."""
    found: dict[tuple[str, str], Hours] = {name: Hours() for name in names}
    for start, hour in hours:
        if start in survey.watched:
            for identity, role, _, *delta in hour.statements:
                if numbers := found.get((identity, role)):
                    numbers.append(start, delta)
    return {StatementRole(*name): each for name, each in found.items() if each.numbers}


def utc(at: float) -> datetime:
    """Return a Unix time as a date and time in UTC."""
    return datetime.fromtimestamp(at, UTC)

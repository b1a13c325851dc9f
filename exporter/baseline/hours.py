"""What statements did hour by hour, as rows of numbers: as objects they would fill the memory."""

from array import array
from collections.abc import Iterable, Iterator, Sequence

from exporter.baseline.buckets import Bucket
from exporter.baseline.survey import Name
from exporter.statements.counters import NOTHING, Delta, combine

_NUMBERS = 3
_BYTES = 8


class Hours:
    """The hours of one statement in which it was called: when they began, and what was called.

    The row has its whole length from the beginning, because rows that grow leave holes in the
    memory.
    """

    __slots__ = ("_numbers", "_starts")

    def __init__(self, starts: Sequence[float], count: int) -> None:
        """Prepare for so many hours; `starts` grows meanwhile."""
        self._starts = starts
        self._numbers = array("d", bytes(_NUMBERS * _BYTES * count))

    def put(self, delta: Delta) -> None:
        """Take in the hour that comes after those that have started."""
        at = _NUMBERS * len(self._starts)
        numbers = (delta.calls, delta.seconds, delta.squared_deviation)
        self._numbers[at : at + _NUMBERS] = array("d", numbers)

    def __iter__(self) -> Iterator[tuple[float, Delta]]:
        numbers = iter(self._numbers)
        # The shorter one says how far, should an hour have been lost meanwhile.
        for start, calls, seconds, squared in zip(
            self._starts, numbers, numbers, numbers, strict=False
        ):
            if calls:
                yield start, Delta(int(calls), seconds, squared, 0, 0, 0)


def collect(buckets: Iterable[Bucket], names: Iterable[Name], count: int) -> dict[Name, Hours]:
    """Return the hours of these statements, from `count` buckets that are not excluded."""
    starts: list[float] = []
    hours = {name: Hours(starts, count) for name in names}
    for bucket in buckets:
        if bucket.excluded:
            continue
        called: dict[Name, Delta] = {}
        for statement, delta in bucket.statements.items():
            name = Name(statement.identity, statement.role)
            if name in hours:  # in two classes, if the rules have changed in that hour
                called[name] = combine((called.get(name, NOTHING), delta))
        for name, delta in called.items():
            hours[name].put(delta)
        starts.append(bucket.start)
    return hours

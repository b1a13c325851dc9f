"""What a call is expected to take: by its statement, its role, and the hour.

The mean of that hour of the week where the baseline has enough of it, else of that hour of the
day, on a weekday or on a weekend, else overall.
"""

from array import array
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import NamedTuple

from exporter.baseline.artefact import Baseline, BaselineStatement, Cell
from exporter.catalog.deployment import Replacement
from exporter.clock import HOURS_OF_A_WEEK, Clock, hour_of_day
from exporter.comparison.rule import Noise
from exporter.statements.text import identity


class Expectation(NamedTuple):
    """Mean of a call, in seconds, and its variance, in seconds squared."""

    mean_seconds: float
    variance: float


class Expectations:
    """A baseline, made for looking up. Immutable."""

    def __init__(self, baseline: Baseline, replacements: Iterable[Replacement]) -> None:
        self._clock = Clock(baseline.window.bucket_seconds)
        # Numbers in a row, because as tuples they take eight times the memory.
        self._statements = {
            (statement.id, statement.role): array("d", chain.from_iterable(by_hour(statement)))
            for statement in baseline.statements
            if statement.calls
        }
        self._replaced = {identity(each.new): identity(each.old) for each in replacements}
        self.noise: Mapping[tuple[str, str], Noise] = {
            (each.class_name, each.role): Noise(each.relative_error, each.hour_log_stddev)
            for each in baseline.classes
        }
        """By class and role."""

    def expected(self, known_by: str, role: str, at: float) -> Expectation | None:
        """Return what a call of a statement is expected to take at a Unix time.

        None if the baseline knows neither the statement nor the one that it replaces. A statement
        that was there before is held against itself, whatever it replaces.
        """
        for name in (known_by, self._replaced.get(known_by)):
            if name and (numbers := self._statements.get((name, role))):
                hour = self._clock.hour_of_week(at)
                return Expectation(numbers[2 * hour], numbers[2 * hour + 1])
        return None


def by_hour(statement: BaselineStatement) -> list[Expectation]:
    """Return what a call of a statement, which has some, is expected to take, by hour of week."""
    overall = Cell(statement.calls, statement.seconds, statement.variance)
    expected = []
    for hour in range(HOURS_OF_A_WEEK):
        cells = (
            statement.hours_of_week.get(hour),
            statement.hours_of_day.get(hour_of_day(hour)),
            overall,
        )
        known = next(cell for cell in cells if cell and cell.calls)
        expected.append(Expectation(known.seconds / known.calls, known.variance))
    return expected

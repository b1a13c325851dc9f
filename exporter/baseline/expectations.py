"""What a call is expected to take: by its statement, its role, and the hour.

The mean of that hour of the week where the baseline has enough of it, else of that hour of the
day, on a weekday or on a weekend, else overall.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from exporter.baseline.document import Baseline, Cell, Statement
from exporter.baseline.rhythm import hour_of_day, hour_of_week
from exporter.baseline.rule import Noise
from exporter.catalog.deployment import Replacement
from exporter.statements.text import identity


class Expectation(NamedTuple):
    """Mean of a call, in seconds, and its variance, in seconds squared."""

    mean_seconds: float
    variance: float


class Expectations:
    """A baseline, made for looking up. Immutable."""

    def __init__(self, baseline: Baseline, replacements: Iterable[Replacement]) -> None:
        self._hour_seconds = baseline.window.bucket_seconds
        self._statements = {
            (statement.id, statement.role): _Expected(statement)
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
            if name and (statement := self._statements.get((name, role))):
                return statement.at(hour_of_week(at, self._hour_seconds))
        return None


class _Expected:
    """The expectations of one statement as one role."""

    __slots__ = ("_by_day", "_by_week", "_overall")

    def __init__(self, statement: Statement) -> None:
        self._overall = Expectation(statement.seconds / statement.calls, statement.variance)
        self._by_week = _expectations(statement.hours_of_week)
        self._by_day = _expectations(statement.hours_of_day)

    def at(self, hour: int) -> Expectation:
        return self._by_week.get(hour) or self._by_day.get(hour_of_day(hour)) or self._overall


def _expectations(cells: Mapping[int, Cell]) -> dict[int, Expectation]:
    return {
        hour: Expectation(cell.seconds / cell.calls, cell.variance)
        for hour, cell in cells.items()
        if cell.calls
    }

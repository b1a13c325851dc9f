"""What a call is expected to take and to return: by its statement, its role, and the hour.

The mean time of that hour of the week where the baseline has enough of it, else of that hour of the
day, on a weekday or on a weekend, else overall.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from exporter.baseline.artefact import Baseline, BaselineStatement, Cell
from exporter.catalog.deployment import OTHER, Replacement
from exporter.clock import HOURS_OF_A_WEEK, Clock, hour_of_day
from exporter.comparison.profile import Expected
from exporter.comparison.window_noise import BaselineNoise
from exporter.statements.text import identity

ClassRole = tuple[str, str]
"""Class and role."""


class PerCall(NamedTuple):
    """What a call of a statement did on average in the baseline, besides its execution time."""

    rows: float = 0.0
    blocks: float = 0.0
    plan_seconds: float = 0.0


class Known(NamedTuple):
    """A statement of the baseline; `is_replaced` where the one that is called replaces it."""

    time: Expected
    per_call: PerCall
    is_replaced: bool = False


class Expectations:
    """A baseline, made for looking up. Immutable."""

    def __init__(
        self, baseline: Baseline, replacements: Iterable[Replacement], clock: Clock | None = None
    ) -> None:
        """Read the baseline; `clock` is that of now, if its hours are not those of the baseline."""
        self._bucket_clock = Clock(baseline.window.bucket_seconds)
        self._clock = clock or self._bucket_clock
        # Numbers in a row, because as tuples they take eight times the memory.
        self._statements = {
            (statement.id, statement.role): array("d", chain.from_iterable(by_hour(statement)))
            for statement in baseline.statements
            if statement.calls
        }
        self._per_call = {
            (each.id, each.role): PerCall(
                each.rows / each.calls, each.blocks / each.calls, each.plan_seconds / each.calls
            )
            for each in baseline.statements
            if each.calls
        }
        self.replaced = {identity(each.new): identity(each.old) for each in replacements}
        """The old statement of each new one."""
        self.noise: Mapping[ClassRole, BaselineNoise] = {
            (each.class_name, each.role): BaselineNoise(
                each.relative_error,
                each.hour_log_stddev,
                each.six_hours_log_stddev,
                each.day_log_stddev,
            )
            for each in baseline.classes
        }
        """By class and role."""
        self.texts = {each.id: each.text for each in baseline.statements if each.text}
        """As far as they may be shown, by identity."""
        self._named = {each.class_name for each in baseline.classes if each.role != OTHER}
        self._usual = self._usual_by_class(baseline)
        window = baseline.window
        self.covers_a_day = window.buckets * window.bucket_seconds >= self._clock.day_seconds
        """Whether the usual calls are those of a night and a day, at least."""
        self._shares = self._shares_of_calls(baseline)

    def expected(self, known_by: str, role: str, at: float) -> Known | None:
        """Return what is expected of a call of a statement at a Unix time.

        None if the baseline knows neither the statement nor the one that it replaces. A statement
        that was there before is compared with itself, whatever it replaces.
        """
        for name in (known_by, self.replaced.get(known_by)):
            if name and (numbers := self._statements.get((name, role))):
                hour = self._bucket_clock.hour_of_week(at)
                time = Expected(numbers[2 * hour], numbers[2 * hour + 1])
                return Known(time, self._per_call[name, role], name != known_by)
        return None

    def is_counted(self, class_name: str, role: str) -> bool:
        """Return whether calls of a role count for coverage and for calls an hour.

        Those of the role `other` do not: they are of people at a psql. They do where the baseline
        of the class knows no other role.
        """
        return role != OTHER or class_name not in self._named

    def usual_calls(self, class_name: str, start: float, end: float) -> float:
        """Return how often a class is usually called between two Unix times."""
        usual = self._usual.get(class_name)
        total = 0.0
        while usual and start < end:
            next_hour = self._clock.start_of_hour(start) + self._clock.hour_seconds
            stop = min(next_hour if next_hour > start else end, end)
            rate = usual[self._clock.hour_of_week(start)] / self._clock.hour_seconds
            total += rate * (stop - start)
            start = stop
        return total

    def shares_of_calls(self, class_name: str) -> Mapping[str, float]:
        """Return which share of the calls of a class each of its statements has, 0 to 1."""
        return self._shares.get(class_name, {})

    def _usual_by_class(self, baseline: Baseline) -> dict[str, Sequence[float]]:
        usual: dict[str, Sequence[float]] = {}
        for each in baseline.classes:
            if self.is_counted(each.class_name, each.role):
                before = usual.get(each.class_name, (0.0,) * HOURS_OF_A_WEEK)
                usual[each.class_name] = [
                    one + other for one, other in zip(before, each.usual_calls, strict=True)
                ]
        return usual

    def _shares_of_calls(self, baseline: Baseline) -> dict[str, dict[str, float]]:
        calls: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        for each in baseline.statements:
            if self.is_counted(each.class_name, each.role):
                calls[each.class_name][each.id] += each.calls
        return {
            name: {known_by: count / total for known_by, count in counts.items()}
            for name, counts in calls.items()
            if (total := sum(counts.values()))
        }


def by_hour(statement: BaselineStatement) -> list[Expected]:
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
        expected.append(Expected(known.seconds / known.calls, known.variance))
    return expected

"""Single statements that are surely slower, or asked far more often, within their class."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from exporter.comparison.rule import (
    CALLS_PER_OPERATION,
    ENOUGH_COUNTED,
    FAIL_Z,
    LEAST_CALLS,
    MISSING_CALLS_RATIO,
    PAGE,
    STATEMENT_RATIO,
    STATEMENT_SHARE,
    Change,
)
from exporter.comparison.sums import Sums
from exporter.comparison.window import compare
from exporter.comparison.window_noise import BaselineNoise


class StatementCalls(NamedTuple):
    """What one statement did since the deployment, and the name that people know it by."""

    name: str
    sums: Sums


class ReplacementCalls(NamedTuple):
    """How often a statement is called that replaces another one.

    `usual_calls` is how often that one was called in the same hours of the week, `class_calls` and
    `usual_class_calls` the same of all other statements of the class.
    """

    name: str
    calls: int
    usual_calls: float
    class_calls: int = 0
    usual_class_calls: float = 0.0

    @property
    def calls_per_operation(self) -> float | None:
        """How many calls take the place of one; None where there are too few to tell.

        Relative to how much more, or less, the rest of the class is called, if that is known.
        """
        if self.usual_calls < ENOUGH_COUNTED:
            return None
        traffic = 1.0
        if min(self.class_calls, self.usual_class_calls) >= ENOUGH_COUNTED:
            traffic = self.class_calls / self.usual_class_calls
        return self.calls / self.usual_calls / traffic


class UsualStatement(NamedTuple):
    """A statement that has at least 5 % of the calls of its class in the baseline.

    `expected_calls` are as many as it has if the class is called as often as it is.
    """

    name: str
    calls: int
    expected_calls: float


def surely_slower(
    statements: Sequence[StatementCalls], noise: BaselineNoise, hours: float
) -> list[tuple[str, Change]]:
    """Return the statements that surely take more than twice their expectation, worst first.

    Of those with at least 5 % of the calls, all tested together at 0.001 (Holm, 1979): the p-value
    of ln(R/2) over its standard error, the k-th smallest of n against 0.001/(n-k+1). As in a
    window, more than two calls must explain the excess.

    Args:
        statements: all of the class that have a baseline.
        noise: that of the class, the roles pooled.
        hours: how long they were watched, in hours of the baseline.
    """
    least = max(STATEMENT_SHARE * sum(each.sums.calls for each in statements), LEAST_CALLS)
    tested = []
    for name, sums in statements:
        change = compare(sums, noise, hours) if sums.calls >= least else None
        if change is not None:
            z = math.log(change.ratio / STATEMENT_RATIO) / change.log_error
            tested.append((_upper_tail(z), name, change))
    tested.sort(key=lambda each: each[0])
    found = []
    for number, (p, name, change) in enumerate(tested):
        if p > _upper_tail(FAIL_Z) / (len(tested) - number):
            break
        if change.z_raw > PAGE.z_raw:
            found.append((name, change))
    return sorted(found, key=lambda each: -each[1].ratio)


def hardly_called(statements: Sequence[UsualStatement]) -> list[UsualStatement]:
    """Return the statements with less than a tenth of their calls, the most usual one first."""
    found = [
        each
        for each in statements
        if each.expected_calls >= ENOUGH_COUNTED
        and each.calls < MISSING_CALLS_RATIO * each.expected_calls
    ]
    return sorted(found, key=lambda each: -each.expected_calls)


def called_more(replacements: Sequence[ReplacementCalls]) -> list[tuple[str, float]]:
    """Return the replacements that are called more than twice per operation, worst first."""
    found = [
        (each.name, ratio)
        for each in replacements
        if (ratio := each.calls_per_operation) is not None and ratio > CALLS_PER_OPERATION
    ]
    return sorted(found, key=lambda each: -each[1])


def _upper_tail(z: float) -> float:
    """Return how probable a standard normal value above z is."""
    return math.erfc(z / math.sqrt(2)) / 2

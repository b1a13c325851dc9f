"""Single statements that are surely slower, find nothing, or are asked far more or less often."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from exporter.comparison.rule import (
    CALLS_PER_OPERATION,
    ENOUGH_COUNTED,
    FAIL_Z,
    LEAST_CALLS,
    MISSING_CALLS_RATIO,
    MISSING_ROWS_RATIO,
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
    rows: int = 0
    expected_rows: float = 0.0
    """What as many calls returned in the baseline."""


class CountedStatement(NamedTuple):
    """How often a statement is called, and its part in the baseline was.

    `usual_calls` is how often it, or the one that it replaces, was called in the same hours of the
    week, `class_calls` and `usual_class_calls` the same of all other statements of the class.
    """

    name: str
    calls: int
    usual_calls: float
    class_calls: int = 0
    usual_class_calls: float = 0.0

    @property
    def has_rest(self) -> bool:
        """Whether the rest of the class is called often enough to compare with."""
        return min(self.class_calls, self.usual_class_calls) >= ENOUGH_COUNTED

    @property
    def expected_calls(self) -> float:
        """As many as usual, times how much more, or less, the rest of the class is called."""
        if not self.has_rest:
            return self.usual_calls
        return self.usual_calls * self.class_calls / self.usual_class_calls

    @property
    def ratio(self) -> float:
        """How many calls take the place of one."""
        return self.calls / self.expected_calls if self.expected_calls > 0 else math.inf

    def is_surely(self, times: float) -> bool:
        """Return whether the calls are surely more than `times` as many, or fewer if that is < 1.

        By 3.09 standard errors, as far as calls are independent of each other (Poisson), and only
        where 30 calls are expected or were made.
        """
        if max(self.calls, self.expected_calls) < ENOUGH_COUNTED:
            return False
        beyond = self.calls - times * self.expected_calls
        error = math.sqrt(self.calls + times**2 * self.expected_calls)
        return (beyond if times > 1 else -beyond) > FAIL_Z * error


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
    tested = []
    for each in _frequent(statements):
        change = compare(each.sums, noise, hours)
        if change is not None:
            z = math.log(change.ratio / STATEMENT_RATIO) / change.log_error
            tested.append((_upper_tail(z), each.name, change))
    tested.sort(key=lambda each: each[0])
    found = []
    for number, (p, name, change) in enumerate(tested):
        if p > _upper_tail(FAIL_Z) / (len(tested) - number):
            break
        if change.z_raw > PAGE.z_raw:
            found.append((name, change))
    return sorted(found, key=lambda each: -each[1].ratio)


def finding_nothing(statements: Sequence[StatementCalls]) -> list[StatementCalls]:
    """Return the statements with less than a tenth of their rows, those with most calls first.

    Of those with at least 5 % of the calls of which 30 rows are expected.
    """
    found = [
        each
        for each in _frequent(statements)
        if each.expected_rows >= ENOUGH_COUNTED
        and each.rows < MISSING_ROWS_RATIO * each.expected_rows
    ]
    return sorted(found, key=lambda each: -each.sums.calls)


def hardly_called(statements: Sequence[CountedStatement]) -> list[CountedStatement]:
    """Return those with surely less than half of their calls, the most usual one first.

    That the rest of the class is called more often is no reason to expect more of them: one of the
    others may have become many.
    """
    found = []
    for each in statements:
        most = math.floor(each.usual_class_calls)
        capped = each._replace(class_calls=min(each.class_calls, most))
        if capped.is_surely(MISSING_CALLS_RATIO):
            found.append(capped)
    return sorted(found, key=lambda each: -each.expected_calls)


def called_more(replacements: Sequence[CountedStatement]) -> list[CountedStatement]:
    """Return those that are surely called more than twice per operation, worst first."""
    found = [each for each in replacements if each.is_surely(CALLS_PER_OPERATION)]
    return sorted(found, key=lambda each: -each.ratio)


def _frequent(statements: Sequence[StatementCalls]) -> list[StatementCalls]:
    """Return the statements with at least 5 % of the calls, and five."""
    least = max(STATEMENT_SHARE * sum(each.sums.calls for each in statements), LEAST_CALLS)
    return [each for each in statements if each.sums.calls >= least]


def _upper_tail(z: float) -> float:
    """Return how probable a standard normal value above z is."""
    return math.erfc(z / math.sqrt(2)) / 2

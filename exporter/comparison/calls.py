"""What a comparison has added up: of one window, since the deployment, and as it is written."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from exporter.catalog.deployment import OTHER
from exporter.comparison.class_hours import ClassCalls
from exporter.comparison.expectations import ClassRole as ClassRole
from exporter.comparison.expectations import Expectations
from exporter.comparison.sums import Sums, contribution
from exporter.state import Scope, Table, Topic
from exporter.statements.continuity import Break
from exporter.statements.counters import Delta
from exporter.statements.tally import Known


class StatementOfClass(NamedTuple):
    """A statement, by its identity, all roles together."""

    class_name: str
    identity: str


class StatementTotals(NamedTuple):
    """What one statement did, and how many rows came back. Grows only."""

    sums: Sums = Sums()
    rows: int = 0
    expected_rows: float = 0.0
    """What as many calls returned in the baseline; 0 of a statement that replaces another."""

    def plus(self, other: "StatementTotals") -> "StatementTotals":
        """Return what both are together."""
        return StatementTotals(
            self.sums.plus(other.sums),
            self.rows + other.rows,
            self.expected_rows + other.expected_rows,
        )


@dataclass(slots=True)
class Since:
    """What was called since a Unix time, the end of the warm-up."""

    at: float | None = None
    expected: Table[ClassRole, float] = field(default_factory=dict)
    """Seconds, by which the noise of the roles of a class is weighed."""
    totals: dict[str, ClassCalls] = field(default_factory=dict)
    """By class."""
    dropped: dict[Break, int] = field(default_factory=dict)
    """Number of windows that could not be compared."""


@dataclass(slots=True)
class ComparisonSums:
    """What a comparison has added up, but for single hours and statements. Times are Unix times."""

    baseline: str
    """A digest of the baseline."""
    counted_at: float | None = None
    """Up to when calls are counted, by the server's clock."""
    taken_at: float = 0.0
    """When a window was last taken in, by our own clock: the server's may be another."""
    matched: Table[ClassRole, Sums] = field(default_factory=dict)
    """Grows only, so that any stretch of it can be judged."""
    since: Since = field(default_factory=Since)


@dataclass(slots=True)
class ComparisonState:
    """Everything that a comparison has added up."""

    sums: ComparisonSums
    hours: dict[float, dict[str, ClassCalls]] = field(default_factory=dict)
    """Since the deployment, by the Unix time at which an hour began, and by class."""
    statements: dict[StatementOfClass, StatementTotals] = field(default_factory=dict)
    """Since the deployment, of those that have a baseline."""


_TOPIC = "comparison"
_SUMS_KEY, _STATEMENTS_KEY, _HOUR_KEY = "sums", "totals of statements", "hour "
COMPARISON: Topic[ComparisonSums] = Topic(_TOPIC, ComparisonSums)
_STATEMENTS: Topic[dict[StatementOfClass, StatementTotals]] = Topic(
    _TOPIC, Table[StatementOfClass, StatementTotals]
)
_HOURS: Topic[dict[str, ClassCalls]] = Topic(_TOPIC, dict[str, ClassCalls])


def load_state(scope: Scope) -> ComparisonState | None:
    """Return what is written of a database; None if there is nothing."""
    written = scope.store.load(scope, _TOPIC)
    sums = COMPARISON.decoded(scope, _SUMS_KEY, written.pop(_SUMS_KEY, b"")) if written else None
    if sums is None:
        return None
    statements = written.pop(_STATEMENTS_KEY, None)
    found = _STATEMENTS.decoded(scope, _STATEMENTS_KEY, statements) if statements else None
    hours = _HOURS.all_decoded(scope, written)
    return ComparisonState(
        sums,
        {float(key.removeprefix(_HOUR_KEY)): classes for key, classes in hours.items()},
        found or {},
    )


def save_state(scope: Scope, state: ComparisonState, hours: Collection[float] | None) -> bool:
    """Write a state, of its hours only the given ones; None stands for all of them.

    Returns:
        Whether it is written.
    """
    changed: dict[str, bytes | None] = {
        _SUMS_KEY: COMPARISON.encoded(state.sums),
        _STATEMENTS_KEY: _STATEMENTS.encoded(state.statements),
    }
    for start in state.hours if hours is None else hours:
        classes = state.hours.get(start)
        changed[f"{_HOUR_KEY}{start:.3f}"] = None if classes is None else _HOURS.encoded(classes)
    return scope.store.save(scope, _TOPIC, changed, replace=hours is None)


@dataclass(slots=True)
class _Counts:
    """The fields of `ClassCalls` that have no sum of their own."""

    rows: int = 0
    expected_rows: float = 0.0
    blocks: int = 0
    expected_blocks: float = 0.0
    plan_seconds: float = 0.0
    expected_plan_seconds: float = 0.0
    calls: int = 0
    covered_seconds: float = 0.0
    uncovered_seconds: float = 0.0


class WindowCalls:
    """The calls of one window against the baseline."""

    def __init__(self, expectations: Expectations) -> None:
        """Begin without calls."""
        self._expectations = expectations
        self._counts: defaultdict[str, _Counts] = defaultdict(_Counts)
        self.matched: dict[ClassRole, Sums] = {}
        self.statements: dict[StatementOfClass, StatementTotals] = {}
        """Without those of people at a psql."""
        self.texts: dict[str, str] = {}
        """By identity, as far as they may be shown."""

    def add(self, known: Known, delta: Delta, at: float) -> None:
        """Add new calls of a statement, which were made at a Unix time."""
        class_name, role = known.class_name, known.role
        counts = self._counts[class_name]
        is_counted = self._expectations.is_counted(class_name, role)
        if is_counted:
            counts.calls += delta.calls
        expected = self._expectations.expected(known.identity, role, at) if known.identity else None
        if expected is None or known.identity is None:
            if is_counted:
                counts.uncovered_seconds += delta.seconds
            return
        new = contribution(delta, *expected.time)
        place = (class_name, role)
        before = self.matched.get(place)
        self.matched[place] = before.plus(new) if before else new
        if not is_counted:
            return
        counts.covered_seconds += delta.seconds
        counts.plan_seconds += delta.plan_seconds
        counts.expected_plan_seconds += delta.calls * expected.per_call.plan_seconds
        totals = StatementTotals(new)
        if not expected.is_replaced:  # another statement may return other rows
            totals = StatementTotals(new, delta.rows, delta.calls * expected.per_call.rows)
            counts.rows += totals.rows
            counts.expected_rows += totals.expected_rows
            counts.blocks += delta.blocks_hit + delta.blocks_read
            counts.expected_blocks += delta.calls * expected.per_call.blocks
        if known.shown:
            self.texts[known.identity] = known.shown
        statement = StatementOfClass(class_name, known.identity)
        self.statements[statement] = self.statements.get(statement, StatementTotals()).plus(totals)

    def of_class(self, name: str, watched_hours: float, usual_calls: float) -> ClassCalls:
        """Return the calls of a class, all roles together; of `other`, without people at a psql.

        Args:
            name: of the class.
            watched_hours: the length of the window, in hours.
            usual_calls: how often the class is usually called in this time.
        """
        sums = Sums()
        for (class_name, role), each in self.matched.items():
            if class_name == name and (
                name != OTHER or self._expectations.is_counted(class_name, role)
            ):
                sums = sums.plus(each)
        counts = self._counts.get(name, _Counts())
        return ClassCalls(
            watched_hours=watched_hours,
            sums=sums,
            rows=counts.rows,
            expected_rows=counts.expected_rows,
            blocks=counts.blocks,
            expected_blocks=counts.expected_blocks,
            plan_seconds=counts.plan_seconds,
            expected_plan_seconds=counts.expected_plan_seconds,
            calls=counts.calls,
            usual_calls=usual_calls,
            covered_seconds=counts.covered_seconds,
            uncovered_seconds=counts.uncovered_seconds,
        )

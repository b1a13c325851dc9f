"""Evidence made by hand, for the tests of what is judged on it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import yaml

from exporter.catalog import Deployment
from exporter.catalog.condition import Condition
from exporter.collect.store import SnapshotStore
from exporter.comparison.class_hours import ClassCalls, ClassHour
from exporter.comparison.class_verdict import ClassResult
from exporter.comparison.class_verdict import judge as judge_class
from exporter.comparison.sums import contribution
from exporter.comparison.window_noise import BaselineNoise
from exporter.deployment.progress import DeploymentProgress, PhaseProgress
from exporter.deployment.records import Outcome
from exporter.learning.counted import CountedHour
from exporter.run_state import State
from exporter.statements.counters import Delta
from exporter.verdict.conditions import judge_condition
from exporter.verdict.evidence import Before, Evidence
from tests.support.queries import make_query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.verdict.condition_result import ConditionResult

    Series = Mapping[Any, float]

PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE

ZERO = {"metric": "loom_number", "equals": 0}
"""A condition."""

APPLIED_AT = time.time() - 7200
MAX_AGE_SECONDS = 60.0

PHASES = {
    "one": {
        "title": "The first",
        "migrations": [{"version": "1", "name": "first"}],
        "rollback": {"risk": "high", "advice": "Do not roll back."},
    },
    "two": {
        "title": "The second",
        "migrations": [{"version": "2", "name": "second"}],
        "rollback": {"risk": "low", "advice": "Roll back."},
    },
}

THINGS = {"labels": ["kind"], "value": "things", "baseline": True}
QUERIES = (
    make_query("things", {"loom_things": THINGS}),
    make_query("more_things", {"loom_things": THINGS}),
    make_query("number", {"loom_number": {"value": "number", "baseline": True}}),
    make_query("steps", {"loom_steps": {"labels": ["name", "phase"], "value": "done"}}),
    make_query(
        "fresh",
        {"loom_fresh_timestamp_seconds": {"type": "change_timestamp", "value": "token"}},
    ),
)

DONE = DeploymentProgress(
    {"one": PhaseProgress(True, APPLIED_AT - 60), "two": PhaseProgress(True, APPLIED_AT)},
    has_begun=True,
    began_at=APPLIED_AT - 60,
    ended_at=APPLIED_AT,
    settled_at=APPLIED_AT + 1800,
)
NOT_BEGUN = DeploymentProgress(
    {"one": PhaseProgress(False), "two": PhaseProgress(False)}, has_begun=False
)


def half_done(settled_at: float) -> DeploymentProgress:
    """Return a deployment whose second phase never came."""
    return DeploymentProgress(
        {"one": PhaseProgress(True, APPLIED_AT), "two": PhaseProgress(False)},
        has_begun=True,
        began_at=APPLIED_AT,
        settled_at=settled_at,
    )


def make_deployment(text: str = "", **sections: Any) -> Deployment:
    """Return a deployment of two phases; `text` is YAML of further sections."""
    return Deployment.model_validate(
        {
            "name": "test",
            "title": "Test deployment",
            "warmup": "30m",
            "phases": PHASES,
            "classes": {"quick": {"relations": ["public.quick"]}},
            **(yaml.safe_load(text) or {}),
            **sections,
        }
    )


def make_board(**samples: Mapping[str, Series]) -> SnapshotStore:
    """Return a board on which these queries have just said this; the others have not run."""
    board = SnapshotStore(QUERIES, {query.name: MAX_AGE_SECONDS for query in QUERIES})
    for query, said in samples.items():
        board.publish(query, State.OK if said else State.EMPTY, said)
    return board


def make_evidence(
    board: SnapshotStore | None = None, *, later: float = 10.0, **changes: Any
) -> Evidence:
    """Return what is known some seconds from now: by default, of a deployment two hours ago."""
    return replace(
        Evidence(
            time.time() + later,
            time.monotonic() + later,
            board or make_board(),
            DONE,
            Before({}, APPLIED_AT - 86400, APPLIED_AT - 3600),
        ),
        **changes,
    )


def number_is(value: float, **changes: Any) -> Evidence:
    """Return evidence of one series without labels, `loom_number`."""
    return make_evidence(make_board(number={"loom_number": {(): value}}), **changes)


def things_are(**changes: Any) -> Evidence:
    """Return evidence of three series, of `loom_things`, from two queries."""
    things = {("round",): 3.0, ("square",): 5.0}
    return make_evidence(
        make_board(things={"loom_things": things}, more_things={"loom_things": {("odd",): 1.0}}),
        **changes,
    )


def judge(condition: Mapping[str, Any], evidence: Evidence, phase: str = "all") -> ConditionResult:
    """Return what a condition of a criterion of this phase comes to."""
    return judge_condition(Condition.model_validate(condition), phase, evidence)


def before(**gauges: Series) -> Before:
    """Return a baseline with these gauges."""
    return Before(gauges, APPLIED_AT - 86400, APPLIED_AT - 3600)


def quiet_hours(deployed_at: float) -> tuple[CountedHour, ...]:
    """Return what the database counts in an hour before a deployment and in one since: no error."""
    counts: dict[str, dict[tuple[str, ...], float]] = {
        "loom_database_transactions_total": {("commit",): 1000.0, ("rollback",): 0.0},
        "loom_database_deadlocks_total": {(): 0.0},
    }
    return CountedHour(deployed_at - 7200, counts), CountedHour(deployed_at, counts)


def make_class(
    ratio: float | None, *, calls: int = 1000, hours: int = 20, coverage: float = 1.0
) -> ClassResult:
    """Return what is said about a class whose calls, 10 ms each before, take `ratio` times that.

    None without any calls; `calls` are those of all hours, evenly.
    """
    if ratio is None:
        return judge_class([], BaselineNoise())
    each = max(calls // hours, 1)
    delta = Delta(each, each * 0.01 * ratio, each * (0.002 * ratio) ** 2, each, 0, 0)
    sums = contribution(delta, 0.01, 0.002**2)
    whole = ClassCalls(
        watched_hours=1.0,
        sums=sums,
        rows=each,
        expected_rows=each,
        calls=each,
        usual_calls=each,
        covered_seconds=sums.seconds,
        uncovered_seconds=sums.seconds * (1 / coverage - 1),
    )
    start = APPLIED_AT + 1800
    each_hour = [ClassHour(start + 3600 * number, whole) for number in range(hours)]
    return judge_class(each_hour, BaselineNoise(0.01, 0.01, 0.01, 0.01))

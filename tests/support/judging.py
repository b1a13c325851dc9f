"""Evidence made by hand, for the tests of what is judged on it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import yaml

from exporter.catalog import Deployment
from exporter.catalog.criteria import Condition
from exporter.collect.store import SnapshotStore
from exporter.comparison.rule import Change
from exporter.database.outcome import State
from exporter.deployment.progress import DeploymentProgress, PhaseProgress
from exporter.deployment.records import Outcome
from exporter.learning.counted import CountedHour
from exporter.verdict.conditions import ConditionResult, judge_condition
from exporter.verdict.evidence import Before, Evidence
from tests.support.queries import make_query

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def make_change(ratio: float, lower: float, upper: float, calls: int = 1000) -> Change:
    """Return how a class changed: a call took 10 ms before."""
    expected = calls * 0.01
    return Change(
        ratio=ratio,
        lower=lower,
        upper=upper,
        z=9.0 if ratio > 1 else -9.0,
        z_raw=9.0 if ratio > 1 else -9.0,
        calls=calls,
        seconds=ratio * expected,
        expected_seconds=expected,
    )

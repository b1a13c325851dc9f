"""A condition holds, does not hold, or cannot be told: no data is neither a pass nor a fail."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.catalog.criteria import Condition
from exporter.comparison.comparison import ClassResult
from exporter.database.outcome import State
from exporter.deployment.progress import DeploymentProgress, PhaseProgress
from exporter.deployment.records import Outcome
from exporter.redaction import redact
from exporter.verdict.conditions import ConditionResult, judge_condition
from exporter.verdict.evidence import SETTLE_SECONDS
from tests.support.judging import (
    APPLIED_AT,
    DONE,
    MAX_AGE_SECONDS,
    NOT_BEGUN,
    before,
    half_done,
    make_board,
    make_change,
    make_evidence,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.verdict.evidence import Evidence

PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE

ZERO = {"metric": "loom_number", "equals": 0}


def _judge(condition: Mapping[str, Any], evidence: Evidence, phase: str = "all") -> ConditionResult:
    return judge_condition(Condition.model_validate(condition), phase, evidence)


def _total(value: float, **changes: Any) -> Evidence:
    return make_evidence(make_board(number={"loom_number": {(): value}}), **changes)


def _things(**changes: Any) -> Evidence:
    things = {("round",): 3.0, ("square",): 5.0}
    return make_evidence(
        make_board(things={"loom_things": things}, more_things={"loom_things": {("odd",): 1.0}}),
        **changes,
    )


# ── Numbers ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("comparison", "outcome", "expected"),
    [
        ({"equals": 7}, PASS, "expected 7"),
        ({"equals": 0}, FAIL, "expected 0"),
        ({"at_most": 7}, PASS, "expected at most 7"),
        ({"at_most": 6.5}, FAIL, "expected at most 6.5"),
        ({"at_least": 7}, PASS, "expected at least 7"),
        ({"at_least": 8}, FAIL, "expected at least 8"),
    ],
)
def test_value_is_held_against_a_number(
    comparison: dict[str, float], outcome: Outcome, expected: str
) -> None:
    found = _judge({"metric": "loom_number", **comparison}, _total(7))
    assert found.outcome is outcome
    assert found.evidence == f"loom_number is 7 ({expected})"


@given(
    st.sampled_from(["equals", "at_most", "at_least"]), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)
)
def test_comparison_is_that_of_python(kind: str, value: float, limit: float) -> None:
    holds = {"equals": value == limit, "at_most": value <= limit, "at_least": value >= limit}[kind]
    assert (_judge({"metric": "loom_number", kind: limit}, _total(value)).outcome is PASS) == holds


def test_nan_never_passes() -> None:
    for comparison in ({"equals": 0}, {"at_most": 1}, {"at_least": 1}):
        found = _judge({"metric": "loom_number", **comparison}, _total(math.nan))
        assert found.outcome is FAIL
        assert found.evidence.startswith("loom_number is nan (expected ")


def test_every_series_must_hold_and_the_worst_is_told_first() -> None:
    found = _judge({"metric": "loom_things", "at_most": 2}, _things())
    assert found.outcome is FAIL
    assert found.evidence == (
        'loom_things{kind="square"} is 5 (expected at most 2); '
        'loom_things{kind="round"} is 3 (expected at most 2)'
    )


def test_labels_choose_the_series_and_a_list_of_values_is_any_of_them() -> None:
    def outcome(kind: object) -> Outcome:
        condition = {"metric": "loom_things", "labels": {"kind": kind}, "at_most": 3}
        return _judge(condition, _things()).outcome

    assert outcome("round") is PASS
    assert outcome(["round", "odd"]) is PASS
    assert outcome(["round", "square"]) is FAIL


def test_sum_is_that_of_all_series_of_all_queries() -> None:
    def finding(limit: float) -> ConditionResult:
        return _judge({"metric": "loom_things", "sum": True, "at_most": limit}, _things())

    assert finding(9).outcome is PASS
    assert finding(8).outcome is FAIL
    assert finding(8).evidence == "the sum of loom_things is 9 (expected at most 8)"


# ── No data ──────────────────────────────────────────────────────────────────────────────────────


def test_absent_metric_is_not_a_zero() -> None:
    found = _judge(ZERO, make_evidence(make_board(number={})))
    assert found.outcome is INCONCLUSIVE
    assert found.evidence == "loom_number: there is no such series"


def test_metric_without_any_series_is_not_one_that_holds_in_all_of_them() -> None:
    evidence = make_evidence(make_board(things={}, more_things={}))
    for more in ({}, {"sum": True}):
        found = _judge({"metric": "loom_things", "equals": 0, **more}, evidence)
        assert (found.outcome, found.evidence) == (
            INCONCLUSIVE,
            "loom_things: no series matches",
        )


def test_series_that_the_labels_name_must_be_there_each_of_them() -> None:
    condition = {"metric": "loom_things", "labels": {"kind": ["round", "oval"]}, "equals": 3}
    found = _judge(condition, _things())
    assert found.outcome is INCONCLUSIVE
    assert found.evidence == 'loom_things{kind="oval"}: there is no such series'


@pytest.mark.parametrize("state", [state for state in State if not state.is_success])
def test_query_without_an_answer_is_inconclusive_whatever_its_last_values_were(
    state: State,
) -> None:
    for value in (0.0, 5.0):
        board = make_board(number={"loom_number": {(): value}})
        board.fail("number", state, "why it\nfailed")
        found = _judge(ZERO, make_evidence(board))
        assert found.outcome is INCONCLUSIVE
        assert found.evidence == f"loom_number: query number is {state} (why it failed)"


def test_secret_in_what_a_query_says_of_its_failure_is_not_told() -> None:
    redact.hide("hunter2-hunter2")
    board = make_board()
    board.fail("number", State.ERROR, "no luck with hunter2-hunter2")
    assert "(no luck with ***)" in _judge(ZERO, make_evidence(board)).evidence


def test_query_that_has_not_run_is_inconclusive() -> None:
    found = _judge(ZERO, make_evidence())
    assert (found.outcome, found.evidence) == (
        INCONCLUSIVE,
        "loom_number: query number has not run yet",
    )


def test_values_that_are_too_old_are_inconclusive() -> None:
    assert _judge(ZERO, _total(0, later=MAX_AGE_SECONDS - 5)).outcome is PASS
    found = _judge(ZERO, _total(0, later=MAX_AGE_SECONDS + 1))
    assert found.outcome is INCONCLUSIVE
    assert "has not answered for too long" in found.evidence


def test_one_of_two_queries_that_feed_a_metric_could_hold_what_fails() -> None:
    board = make_board(things={"loom_things": {("round",): 0.0}})
    board.fail("more_things", State.ABSENT, "")
    evidence = make_evidence(board)
    every = {"metric": "loom_things", "equals": 0}
    assert _judge(every, evidence).outcome is INCONCLUSIVE
    # The labels name the series that there is, so the other query cannot have it.
    assert _judge({**every, "labels": {"kind": "round"}}, evidence).outcome is PASS
    # And a fault that is seen is one, whatever else there may be.
    assert _judge({"metric": "loom_things", "equals": 1}, evidence).outcome is FAIL


def test_sum_without_one_of_its_parts_is_not_told() -> None:
    evidence = make_evidence(make_board(things={"loom_things": {("round",): 9.0}}))
    for comparison in ({"at_most": 10}, {"at_least": 10}):
        condition = {"metric": "loom_things", "sum": True, **comparison}
        assert _judge(condition, evidence).outcome is INCONCLUSIVE


# ── The deployment ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("phase", ["all", "one", "two"])
def test_nothing_is_judged_before_the_deployment(phase: str, value: float) -> None:
    assert _judge(ZERO, _total(value, deployed=NOT_BEGUN), phase).outcome is INCONCLUSIVE


def test_phase_that_is_applied_is_judged_and_the_one_that_is_not_waits() -> None:
    evidence = _total(1, deployed=half_done(settled_at=time.time() + 900))
    assert _judge(ZERO, evidence, "one").outcome is FAIL
    found = _judge(ZERO, evidence, "two")
    assert (found.outcome, found.evidence) == (
        INCONCLUSIVE,
        "loom_number: phase two is not applied",
    )


def test_deployment_left_unfinished_is_judged_once_it_had_its_time() -> None:
    steps = {("first", "one"): 1.0, ("second", "two"): 0.0}
    board = make_board(steps={"loom_steps": steps})
    condition = {"metric": "loom_steps", "equals": 1}
    under_way = half_done(settled_at=time.time() + 900)
    assert _judge(condition, make_evidence(board, deployed=under_way)).outcome is INCONCLUSIVE
    found = _judge(condition, make_evidence(board, deployed=half_done(APPLIED_AT + 1800)))
    assert found.outcome is FAIL
    assert found.phases == ("two",), "the phase that the failing series names"


@pytest.mark.parametrize(
    "deployed",
    [
        DeploymentProgress({}),
        DeploymentProgress({"one": PhaseProgress(), "two": PhaseProgress()}),
        DeploymentProgress({"one": PhaseProgress(True), "two": PhaseProgress()}),
    ],
)
def test_deployment_of_which_nothing_is_known_is_not_judged(deployed: DeploymentProgress) -> None:
    for phase in ("all", "two"):
        found = _judge(ZERO, _total(1, deployed=deployed), phase)
        assert found.outcome is INCONCLUSIVE
        assert "not known" in found.evidence


def test_value_that_was_looked_at_before_the_phase_was_applied_does_not_count() -> None:
    evidence = _total(1)
    looked_at = evidence.snapshots["number"].last_success_at
    assert looked_at is not None

    def outcome(applied_at: float) -> Outcome:
        deployed = replace(DONE, phases={**DONE.phases, "two": PhaseProgress(True, applied_at)})
        return _judge(ZERO, replace(evidence, deployed=deployed), "two").outcome

    assert outcome(looked_at + 1) is INCONCLUSIVE
    assert outcome(looked_at - SETTLE_SECONDS + 0.1) is INCONCLUSIVE, "asked for before, perhaps"
    assert outcome(looked_at - SETTLE_SECONDS - 0.1) is FAIL


def test_phase_applied_before_anybody_looked_is_judged() -> None:
    deployed = DeploymentProgress(
        {"one": PhaseProgress(True), "two": PhaseProgress(True)}, has_begun=True
    )
    assert _judge(ZERO, _total(1, deployed=deployed), "two").outcome is FAIL


def test_phase_of_a_condition_comes_before_that_of_its_criterion() -> None:
    found = _judge({**ZERO, "phase": "two"}, _total(1), "one")
    assert (found.outcome, found.phases) == (FAIL, ("two",))
    assert _judge(ZERO, _total(1), "one").phases == ("one",)
    assert _judge(ZERO, _total(1), "all").phases == ()


# ── The baseline ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "now", "then", "outcome"),
    [
        ("not_below", 5, 5, PASS),
        ("not_below", 4, 5, FAIL),
        ("not_above", 5, 5, PASS),
        ("not_above", 6, 5, FAIL),
        ("not_above", 6, None, INCONCLUSIVE),
    ],
)
def test_value_is_held_against_the_one_before(
    kind: str, now: float, then: float | None, outcome: Outcome
) -> None:
    remembered = before() if then is None else before(loom_number={(): then})
    evidence = _total(now, before=remembered)
    assert _judge({"metric": "loom_number", kind: "baseline"}, evidence).outcome is outcome


def test_without_a_baseline_nothing_is_compared_with_it() -> None:
    found = _judge({"metric": "loom_number", "not_above": "baseline"}, _total(0, before=None))
    assert (found.outcome, found.evidence) == (
        INCONCLUSIVE,
        "loom_number: there is no baseline",
    )


def test_tolerance_is_a_share_of_what_was_before() -> None:
    def outcome(kind: str, value: float) -> Outcome:
        evidence = _total(value, before=before(loom_number={(): 200.0}))
        condition = {"metric": "loom_number", kind: "baseline", "by": "1%"}
        return _judge(condition, evidence).outcome

    assert [outcome("not_below", value) for value in (197, 198, 300)] == [FAIL, PASS, PASS]
    assert [outcome("not_above", value) for value in (203, 202, 100)] == [FAIL, PASS, PASS]


def test_each_series_is_compared_with_itself_and_the_sum_with_the_sum() -> None:
    then = {("round",): 2.0, ("square",): 6.0, ("odd",): 1.0}
    evidence = _things(before=before(loom_things=then))
    condition = {"metric": "loom_things", "not_above": "baseline"}
    found = _judge(condition, evidence)
    assert (found.outcome, found.evidence) == (
        FAIL,
        'loom_things{kind="round"} is 3 (expected at most 2; 2 before)',
    )
    assert _judge({**condition, "sum": True}, evidence).outcome is PASS


def test_series_that_is_gone_is_not_taken_for_one_that_holds() -> None:
    then = {("round",): 3.0, ("square",): 5.0, ("odd",): 1.0, ("gone",): 4.0}
    condition = {"metric": "loom_things", "not_below": "baseline"}
    found = _judge(condition, _things(before=before(loom_things=then)))
    assert (found.outcome, found.evidence) == (
        INCONCLUSIVE,
        'loom_things{kind="gone"} was 4 before and is gone',
    )


def test_series_that_was_there_before_is_still_present_or_lost() -> None:
    then = {("round",): 3.0, ("square",): 5.0, ("odd",): 1.0}
    condition = {"title": "thing", "metric": "loom_things", "present": "baseline"}
    assert _judge(condition, _things(before=before(loom_things=then))).outcome is PASS
    found = _judge(condition, _things(before=before(loom_things={**then, ("gone",): 1.0})))
    assert (found.outcome, found.evidence) == (FAIL, "thing gone was 1 before and is gone")
    lower = _judge(condition, _things(before=before(loom_things={**then, ("odd",): 2.0})))
    assert (lower.outcome, lower.evidence) == (
        FAIL,
        "odd: 1 thing (expected at least 2; 2 before)",
    )
    everything_lost = make_evidence(
        make_board(things={}, more_things={}), before=before(loom_things=then)
    )
    assert _judge(condition, everything_lost).outcome is FAIL
    ignored = {**condition, "ignore": ["go*"]}
    assert (
        _judge(ignored, _things(before=before(loom_things={**then, ("gone",): 1.0}))).outcome
        is PASS
    )


def test_series_is_not_lost_while_a_query_that_may_have_it_has_no_answer() -> None:
    board = make_board(things={"loom_things": {("round",): 3.0}})
    board.fail("more_things", State.LOCKED, "")
    evidence = make_evidence(board, before=before(loom_things={("odd",): 1.0}))
    assert _judge({"metric": "loom_things", "present": "baseline"}, evidence).outcome is (
        INCONCLUSIVE
    )


def test_lost_series_blames_the_phase_that_owns_its_table() -> None:
    board = make_board(steps={"loom_steps": {("first", ""): 1.0}})
    evidence = make_evidence(
        board,
        before=before(loom_steps={("first", ""): 1.0, ("second", "two"): 1.0}),
    )
    found = _judge({"metric": "loom_steps", "present": "baseline"}, evidence)
    assert (found.outcome, found.phases) == (FAIL, ("two",))


def test_condition_with_a_title_is_told_in_words_and_its_selector_stands_beside() -> None:
    condition = {
        "title": "corners",
        "metric": "loom_things",
        "labels": {"kind": "square"},
        "at_most": 4,
    }
    found = _judge(condition, _things(before=before(loom_things={("square",): 4.0})))
    assert found.evidence == "5 corners (expected at most 4; 4 before)"
    assert found.selector == 'loom_things{kind="square"}'


def test_value_is_held_against_that_of_another_metric() -> None:
    board = make_board(
        things={"loom_things": {("round",): 99.0}}, number={"loom_number": {(): 100.0}}
    )
    condition = {"metric": "loom_things", "labels": {"kind": "round"}, "not_below": "loom_number"}
    found = _judge(condition, make_evidence(board))
    assert (found.outcome, found.evidence) == (
        FAIL,
        'loom_things{kind="round"} is 99 (expected at least 100, loom_number is 100)',
    )
    assert _judge({**condition, "by": "1%"}, make_evidence(board)).outcome is PASS
    board.fail("number", State.DENIED, "")
    assert _judge(condition, make_evidence(board)).outcome is INCONCLUSIVE


# ── Times ────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_old_proves_nothing_and_fails_nothing() -> None:
    metric = "loom_fresh_timestamp_seconds"

    def finding(age_seconds: float) -> ConditionResult:
        board = make_board(fresh={metric: {(): time.time() - age_seconds}})
        return _judge({"metric": metric, "newer_than": "2h"}, make_evidence(board))

    assert finding(7000).outcome is PASS
    found = finding(3 * 3600)
    assert found.outcome is INCONCLUSIVE
    assert found.evidence.endswith("3h ago, too old to prove anything")


# ── Classes of statements ────────────────────────────────────────────────────────────────────────

QUICK = {"class": "quick", "not_slower_than": "baseline"}


@pytest.mark.parametrize(
    ("change", "coverage", "outcome"),
    [
        (make_change(3.4, 2.9, 3.98), 0.97, FAIL),
        (make_change(0.4, 0.35, 0.45), 0.97, PASS),
        (make_change(1.1, 0.8, 1.5), 0.97, INCONCLUSIVE),
        (make_change(3.4, 2.9, 3.98), 0.5, INCONCLUSIVE),
        (make_change(3.4, 2.9, 3.98, calls=2), 0.97, INCONCLUSIVE),
        (None, None, INCONCLUSIVE),
    ],
)
def test_class_is_judged_by_the_decision_rule(
    change: Any, coverage: float | None, outcome: Outcome
) -> None:
    evidence = make_evidence(classes={"quick": ClassResult(change, coverage)})
    assert _judge(QUICK, evidence).outcome is outcome


def test_slower_class_is_told_by_name_ratio_and_interval_with_the_phase_to_blame() -> None:
    evidence = make_evidence(classes={"quick": ClassResult(make_change(3.4, 2.9, 3.98), 0.97)})
    found = _judge({**QUICK, "phase": "two"}, evidence)
    assert found.phases == ("two",)
    for told in ("class quick", "3.40", "2.90", "3.98", "1000 calls"):
        assert told in found.evidence


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"before": None}, "there is no baseline"),
        ({"classes": {}}, "its calls have not been counted lately"),
        ({"deployed": NOT_BEGUN}, "the deployment has not begun"),
        ({"deployed": replace(DONE, settled_at=time.time() + 900)}, "warming up"),
    ],
)
def test_class_is_not_judged_too_early(changes: dict[str, Any], why: str) -> None:
    slow = {"quick": ClassResult(make_change(3.4, 2.9, 3.98), 0.97)}
    found = _judge(QUICK, make_evidence(**{"classes": slow, **changes}))
    assert found.outcome is INCONCLUSIVE
    assert why in found.evidence

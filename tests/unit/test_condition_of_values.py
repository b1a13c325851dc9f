"""Values of a metric meet a condition or do not; without data it is neither a pass nor a fail."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.redaction import redact
from exporter.run_state import State
from tests.support.judging import (
    FAIL,
    INCONCLUSIVE,
    MAX_AGE_SECONDS,
    PASS,
    ZERO,
    judge,
    make_board,
    make_evidence,
    number_is,
    things_are,
)

if TYPE_CHECKING:
    from exporter.deployment.records import Outcome
    from exporter.verdict.condition_result import ConditionResult


# ── Values ────────────────────────────────────────────────────────────────────────────────────────


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
    found = judge({"metric": "loom_number", **comparison}, number_is(7))
    assert found.outcome is outcome
    assert found.evidence == f"loom_number is 7 ({expected})"


@given(
    st.sampled_from(["equals", "at_most", "at_least"]), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)
)
def test_comparison_is_that_of_python(kind: str, value: float, limit: float) -> None:
    holds = {"equals": value == limit, "at_most": value <= limit, "at_least": value >= limit}[kind]
    assert (
        judge({"metric": "loom_number", kind: limit}, number_is(value)).outcome is PASS
    ) == holds


def test_nan_never_passes() -> None:
    for comparison in ({"equals": 0}, {"at_most": 1}, {"at_least": 1}):
        found = judge({"metric": "loom_number", **comparison}, number_is(math.nan))
        assert found.outcome is FAIL
        assert found.evidence.startswith("loom_number is nan (expected ")


def test_every_series_must_hold_and_the_worst_is_told_first() -> None:
    found = judge({"metric": "loom_things", "at_most": 2}, things_are())
    assert found.outcome is FAIL
    assert found.evidence == (
        'loom_things{kind="square"} is 5 (expected at most 2); '
        'loom_things{kind="round"} is 3 (expected at most 2)'
    )


def test_labels_choose_the_series_and_a_list_of_values_is_any_of_them() -> None:
    def outcome(kind: object) -> Outcome:
        condition = {"metric": "loom_things", "labels": {"kind": kind}, "at_most": 3}
        return judge(condition, things_are()).outcome

    assert outcome("round") is PASS
    assert outcome(["round", "odd"]) is PASS
    assert outcome(["round", "square"]) is FAIL


def test_sum_is_that_of_all_series_of_all_queries() -> None:
    def finding(limit: float) -> ConditionResult:
        return judge({"metric": "loom_things", "sum": True, "at_most": limit}, things_are())

    assert finding(9).outcome is PASS
    assert finding(8).outcome is FAIL
    assert finding(8).evidence == "the sum of loom_things is 9 (expected at most 8)"


def test_what_is_old_proves_nothing_and_fails_nothing() -> None:
    metric = "loom_fresh_timestamp_seconds"

    def finding(age_seconds: float) -> ConditionResult:
        board = make_board(fresh={metric: {(): time.time() - age_seconds}})
        return judge({"metric": metric, "newer_than": "2h"}, make_evidence(board))

    assert finding(7000).outcome is PASS
    found = finding(3 * 3600)
    assert found.outcome is INCONCLUSIVE
    assert found.evidence.endswith("3h ago, too old to prove anything")
    assert finding(-200).outcome is PASS  # clocks differ
    for future in (-400, -999 * time.time()):  # of a wrong clock, or milliseconds
        found = finding(future)
        assert found.outcome is INCONCLUSIVE
        assert found.evidence.endswith(", in the future, so too odd to prove anything")


# ── No data ───────────────────────────────────────────────────────────────────────────────────────


def test_absent_metric_is_not_a_zero() -> None:
    found = judge(ZERO, make_evidence(make_board(number={})))
    assert found.outcome is INCONCLUSIVE
    assert found.evidence == "loom_number: there is no such series"


def test_metric_without_any_series_is_not_one_that_holds_in_all_of_them() -> None:
    evidence = make_evidence(make_board(things={}, more_things={}))
    for more in ({}, {"sum": True}):
        found = judge({"metric": "loom_things", "equals": 0, **more}, evidence)
        assert (found.outcome, found.evidence) == (
            INCONCLUSIVE,
            "loom_things: no series matches",
        )


def test_series_that_the_labels_name_must_be_there_each_of_them() -> None:
    condition = {"metric": "loom_things", "labels": {"kind": ["round", "oval"]}, "equals": 3}
    found = judge(condition, things_are())
    assert found.outcome is INCONCLUSIVE
    assert found.evidence == 'loom_things{kind="oval"}: there is no such series'


@pytest.mark.parametrize("state", [state for state in State if not state.is_success])
def test_query_without_an_answer_is_inconclusive_whatever_its_last_values_were(
    state: State,
) -> None:
    for value in (0.0, 5.0):
        board = make_board(number={"loom_number": {(): value}})
        board.fail("number", state, "why it\nfailed")
        found = judge(ZERO, make_evidence(board))
        assert found.outcome is INCONCLUSIVE
        assert found.evidence == f"loom_number: query number is {state} (why it failed)"


def test_secret_in_what_a_query_says_of_its_failure_is_not_told() -> None:
    redact.hide("hunter2-hunter2")
    board = make_board()
    board.fail("number", State.ERROR, "no luck with hunter2-hunter2")
    assert "(no luck with ***)" in judge(ZERO, make_evidence(board)).evidence


def test_query_that_has_not_run_is_inconclusive() -> None:
    found = judge(ZERO, make_evidence())
    assert (found.outcome, found.evidence) == (
        INCONCLUSIVE,
        "loom_number: query number has not run yet",
    )


def test_values_that_are_too_old_are_inconclusive() -> None:
    assert judge(ZERO, number_is(0, later=MAX_AGE_SECONDS - 5)).outcome is PASS
    found = judge(ZERO, number_is(0, later=MAX_AGE_SECONDS + 1))
    assert found.outcome is INCONCLUSIVE
    assert "has not answered for too long" in found.evidence


def test_one_of_two_queries_that_feed_a_metric_could_hold_what_fails() -> None:
    board = make_board(things={"loom_things": {("round",): 0.0}})
    board.fail("more_things", State.ABSENT, "")
    evidence = make_evidence(board)
    every = {"metric": "loom_things", "equals": 0}
    assert judge(every, evidence).outcome is INCONCLUSIVE
    # The labels name the series that there is, so the other query cannot have it.
    assert judge({**every, "labels": {"kind": "round"}}, evidence).outcome is PASS
    # And a fault that is seen is one, whatever else there may be.
    assert judge({"metric": "loom_things", "equals": 1}, evidence).outcome is FAIL


def test_sum_without_one_of_its_parts_is_not_told() -> None:
    evidence = make_evidence(make_board(things={"loom_things": {("round",): 9.0}}))
    for comparison in ({"at_most": 10}, {"at_least": 10}):
        condition = {"metric": "loom_things", "sum": True, **comparison}
        assert judge(condition, evidence).outcome is INCONCLUSIVE

"""Values and classes of statements are compared with the baseline, and with each other."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from exporter.run_state import State
from tests.support.judging import (
    DONE,
    FAIL,
    INCONCLUSIVE,
    NOT_BEGUN,
    PASS,
    before,
    judge,
    make_board,
    make_class,
    make_evidence,
    number_is,
    things_are,
)

if TYPE_CHECKING:
    from exporter.comparison.class_verdict import ClassResult
    from exporter.deployment.records import Outcome


# ── Values ────────────────────────────────────────────────────────────────────────────────────────


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
    evidence = number_is(now, before=remembered)
    assert judge({"metric": "loom_number", kind: "baseline"}, evidence).outcome is outcome


def test_without_a_baseline_nothing_is_compared_with_it() -> None:
    found = judge({"metric": "loom_number", "not_above": "baseline"}, number_is(0, before=None))
    assert (found.outcome, found.evidence) == (
        INCONCLUSIVE,
        "loom_number: there is no baseline",
    )


def test_tolerance_is_a_share_of_what_was_before() -> None:
    def outcome(kind: str, value: float) -> Outcome:
        evidence = number_is(value, before=before(loom_number={(): 200.0}))
        condition = {"metric": "loom_number", kind: "baseline", "by": "1%"}
        return judge(condition, evidence).outcome

    assert [outcome("not_below", value) for value in (197, 198, 300)] == [FAIL, PASS, PASS]
    assert [outcome("not_above", value) for value in (203, 202, 100)] == [FAIL, PASS, PASS]


def test_each_series_is_compared_with_itself_and_the_sum_with_the_sum() -> None:
    then = {("round",): 2.0, ("square",): 6.0, ("odd",): 1.0}
    evidence = things_are(before=before(loom_things=then))
    condition = {"metric": "loom_things", "not_above": "baseline"}
    found = judge(condition, evidence)
    assert (found.outcome, found.evidence) == (
        FAIL,
        'loom_things{kind="round"} is 3 (expected at most 2; 2 before)',
    )
    assert judge({**condition, "sum": True}, evidence).outcome is PASS


def test_series_that_is_gone_is_not_taken_for_one_that_holds() -> None:
    then = {("round",): 3.0, ("square",): 5.0, ("odd",): 1.0, ("gone",): 4.0}
    condition = {"metric": "loom_things", "not_below": "baseline"}
    found = judge(condition, things_are(before=before(loom_things=then)))
    assert (found.outcome, found.evidence) == (
        INCONCLUSIVE,
        'loom_things{kind="gone"} was 4 before and is gone',
    )


def test_series_that_was_there_before_is_still_present_or_lost() -> None:
    then = {("round",): 3.0, ("square",): 5.0, ("odd",): 1.0}
    condition = {"title": "thing", "metric": "loom_things", "present": "baseline"}
    assert judge(condition, things_are(before=before(loom_things=then))).outcome is PASS
    found = judge(condition, things_are(before=before(loom_things={**then, ("gone",): 1.0})))
    assert (found.outcome, found.evidence) == (FAIL, "thing gone was 1 before and is gone")
    lower = judge(condition, things_are(before=before(loom_things={**then, ("odd",): 2.0})))
    assert (lower.outcome, lower.evidence) == (
        FAIL,
        "odd: 1 thing (expected at least 2; 2 before)",
    )
    everything_lost = make_evidence(
        make_board(things={}, more_things={}), before=before(loom_things=then)
    )
    assert judge(condition, everything_lost).outcome is FAIL
    ignored = {**condition, "ignore": ["go*"]}
    assert (
        judge(ignored, things_are(before=before(loom_things={**then, ("gone",): 1.0}))).outcome
        is PASS
    )


def test_series_is_not_lost_while_a_query_that_may_have_it_has_no_answer() -> None:
    board = make_board(things={"loom_things": {("round",): 3.0}})
    board.fail("more_things", State.LOCKED, "")
    evidence = make_evidence(board, before=before(loom_things={("odd",): 1.0}))
    assert judge({"metric": "loom_things", "present": "baseline"}, evidence).outcome is (
        INCONCLUSIVE
    )


def test_lost_series_blames_the_phase_that_owns_its_table() -> None:
    board = make_board(steps={"loom_steps": {("first", ""): 1.0}})
    evidence = make_evidence(
        board,
        before=before(loom_steps={("first", ""): 1.0, ("second", "two"): 1.0}),
    )
    found = judge({"metric": "loom_steps", "present": "baseline"}, evidence)
    assert (found.outcome, found.phases) == (FAIL, ("two",))


def test_condition_with_a_title_is_told_in_words_and_its_selector_stands_beside() -> None:
    condition = {
        "title": "corners",
        "metric": "loom_things",
        "labels": {"kind": "square"},
        "at_most": 4,
    }
    found = judge(condition, things_are(before=before(loom_things={("square",): 4.0})))
    assert found.evidence == "5 corners (expected at most 4; 4 before)"
    assert found.selector == 'loom_things{kind="square"}'


def test_value_is_held_against_that_of_another_metric() -> None:
    board = make_board(
        things={"loom_things": {("round",): 99.0}}, number={"loom_number": {(): 100.0}}
    )
    condition = {"metric": "loom_things", "labels": {"kind": "round"}, "not_below": "loom_number"}
    found = judge(condition, make_evidence(board))
    assert (found.outcome, found.evidence) == (
        FAIL,
        'loom_things{kind="round"} is 99 (expected at least 100, loom_number is 100)',
    )
    assert judge({**condition, "by": "1%"}, make_evidence(board)).outcome is PASS
    board.fail("number", State.DENIED, "")
    assert judge(condition, make_evidence(board)).outcome is INCONCLUSIVE


# ── Classes of statements ─────────────────────────────────────────────────────────────────────────

QUICK = {"class": "quick", "not_slower_than": "baseline"}


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (make_class(3.4), FAIL),
        (make_class(0.4), PASS),
        (make_class(1.1, calls=8, hours=4), INCONCLUSIVE),
        (make_class(1.0, coverage=0.5), INCONCLUSIVE),
        (make_class(None), INCONCLUSIVE),
    ],
)
def test_class_is_judged_by_the_decision_rule(result: ClassResult, outcome: Outcome) -> None:
    found = judge(QUICK, make_evidence(classes={"quick": result}))
    assert found.outcome is outcome
    assert found.evidence == f"class quick: {result.reason} ({result.facts})"


def test_slower_class_is_told_by_name_ratio_and_interval_with_the_phase_to_blame() -> None:
    evidence = make_evidence(classes={"quick": make_class(3.4)})
    found = judge({**QUICK, "phase": "two"}, evidence)
    assert found.phases == ("two",)
    for told in ("class quick", "3.40 times", "surely above 3.2", "1,000 calls"):
        assert told in found.evidence


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"before": None}, "there is no baseline"),
        ({"classes": {}}, "its calls have not been counted lately"),
        ({"deployed": NOT_BEGUN}, "the deployment has not begun"),
        ({"deployed": replace(DONE, settled_at=time.time() + 86_400)}, "warming up"),
    ],
)
def test_class_is_not_judged_too_early(changes: dict[str, Any], why: str) -> None:
    slow = {"quick": make_class(3.4)}
    found = judge(QUICK, make_evidence(**{"classes": slow, **changes}))
    assert found.outcome is INCONCLUSIVE
    assert why in found.evidence

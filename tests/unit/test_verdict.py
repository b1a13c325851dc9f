"""Go, no-go or inconclusive: what the verdict is, whom it blames, and what is exposed of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from exporter.catalog.criteria import Criterion
from exporter.catalog.own_metrics import own_metrics
from exporter.deployment.records import Outcome
from exporter.deployment.sign_offs import sign
from exporter.verdict.assess import Assessment, Verdict, assess
from exporter.verdict.criteria import judge_criterion
from exporter.verdict.metrics import verdict_samples
from tests.support.judging import (
    NOT_BEGUN,
    before,
    make_board,
    make_class,
    make_deployment,
    make_evidence,
)

if TYPE_CHECKING:
    from exporter.collect.snapshot import Samples

DEPLOYMENT = make_deployment("""
criteria:
  number: {title: Number is right, phase: one, conditions: [{metric: loom_number, equals: 0}]}
  speed:
    title: Nothing is slower
    conditions: [{class: quick, phase: two, not_slower_than: baseline}]
  people: {title: People are happy, manual: true}
plan:
  - {after: 20m, title: First, checks: {number_day_1: {title: Number, criteria: [number]}}}
  - {after: 2d, title: Second, checks: {people_day_2: {title: People, manual: true}}}
sign_offs:
  boss: {title: The boss agrees}
tracked:
  - {title: Number, metric: loom_number}
  - {title: Round things, metric: loom_things, labels: {kind: round}}
  - {title: Mean time, class: quick}
""")
SAME = make_class(1.0)
SLOWER = make_class(3.4)


def _assess(
    number: float | None = 0.0,
    ratio: Any = SAME,
    signed: dict[str, bool] | None = None,
    **changes: Any,
) -> Assessment:
    sign_offs = {
        name: [sign(DEPLOYMENT, name, by="Ada", at=time.time(), approved=approved)]
        for name, approved in (signed or {}).items()
    }
    board = make_board(
        number={} if number is None else {"loom_number": {(): number}},
        things={"loom_things": {("round",): 3.0, ("square",): 4.0}},
    )
    evidence = make_evidence(
        board,
        **{
            "classes": {"quick": ratio},
            "sign_offs": sign_offs,
            "before": before(loom_number={(): 5.0}, loom_things={("round",): 2.0, ("odd",): 9.0}),
            **changes,
        },
    )
    return assess("loom", DEPLOYMENT, {}, evidence)


YES, NO = {"people": True}, {"people": False}


@pytest.mark.parametrize(
    ("number", "ratio", "signed", "verdict", "blamed"),
    [
        (0, SAME, YES, Verdict.GO, []),
        (0, SAME, {}, Verdict.INCONCLUSIVE, []),
        (0, SAME, NO, Verdict.NO_GO, []),
        (None, SAME, YES, Verdict.INCONCLUSIVE, []),
        (1, SAME, YES, Verdict.NO_GO, ["one"]),
        (1, None, {}, Verdict.NO_GO, ["one"]),
        (0, SLOWER, YES, Verdict.NO_GO, ["two"]),
        (1, SLOWER, YES, Verdict.NO_GO, ["two", "one"]),
    ],
)
def test_go_is_all_pass_and_no_go_is_any_fail(
    number: float | None,
    ratio: Any,
    signed: dict[str, bool],
    verdict: Verdict,
    blamed: list[str],
) -> None:
    assessment = _assess(number, ratio, signed)
    assert assessment.verdict is verdict
    assert [each.phase for each in assessment.blamed] == blamed, "the last one first"


def test_sign_off_that_is_missing_holds_nothing_up_and_one_that_is_refused_does() -> None:
    assert _assess(signed={**YES, "boss": True}).verdict is Verdict.GO
    refused = _assess(signed={**YES, "boss": False})
    assert refused.verdict is Verdict.NO_GO
    assert [each.name for each in refused.with_outcome(Outcome.FAIL)] == ["boss"]


def test_condition_that_is_not_needed_holds_nothing_up_and_fails_all_the_same() -> None:
    def outcome(number: float | None, *, needed: bool) -> Outcome:
        conditions = [
            {"metric": "loom_things", "sum": True, "at_least": 1},
            {"metric": "loom_number", "equals": 0, "needed": needed},
        ]
        criterion = Criterion.model_validate({"title": "t", "conditions": conditions})
        board = make_board(
            things={"loom_things": {("round",): 3.0}},
            more_things={},
            number={} if number is None else {"loom_number": {(): number}},
        )
        return judge_criterion("t", criterion, make_evidence(board)).outcome

    assert outcome(None, needed=True) is Outcome.INCONCLUSIVE
    assert outcome(None, needed=False) is Outcome.PASS
    assert outcome(0, needed=False) is Outcome.PASS
    assert outcome(1, needed=False) is Outcome.FAIL


def test_criterion_is_as_good_as_the_worst_of_its_conditions() -> None:
    conditions = [{"metric": "loom_number", "equals": value} for value in (0, 1)]
    conditions.append({"metric": "loom_things", "equals": 0})
    evidence = make_evidence(make_board(number={"loom_number": {(): 0.0}}))

    def outcome(*chosen: int) -> Outcome:
        criterion = Criterion.model_validate(
            {"title": "Both", "conditions": [conditions[index] for index in chosen]}
        )
        return judge_criterion("both", criterion, evidence).outcome

    assert outcome(0) is Outcome.PASS
    assert outcome(0, 2) is outcome(2, 0) is Outcome.INCONCLUSIVE
    assert outcome(0, 2, 1) is outcome(1, 0) is Outcome.FAIL


def test_deployment_without_criteria_is_never_a_go() -> None:
    assessment = assess("loom", make_deployment(), {}, make_evidence())
    assert assessment.verdict is Verdict.INCONCLUSIVE


def test_blamed_phase_comes_with_what_a_rollback_means() -> None:
    (blamed,) = _assess(ratio=SLOWER).blamed
    assert (blamed.title, blamed.risk, blamed.advice) == ("The second", "low", "Roll back.")


def _pairs(assessment: Assessment) -> list[Any]:
    return [(row.before, row.after) for row in assessment.tracked]


def test_table_of_before_and_after_is_filled_in() -> None:
    number, things, mean = _pairs(_assess(7, SLOWER))
    assert (number, things) == ((5, 7), (2, 3))
    assert mean == pytest.approx((0.010, 0.034))


def test_table_has_gaps_where_nothing_is_known() -> None:
    missing = _pairs(_assess(None, None, before=None))
    assert missing == [(None, None), (None, 3), (None, None)]
    early = _pairs(_assess(7, None, deployed=NOT_BEGUN))
    assert early == [(7, None), (3, None), (None, None)], "what is so now is before it"


@pytest.mark.parametrize("number", [0, 1, None])
@pytest.mark.parametrize("signed", [{}, YES, {"people_day_2": False}])
def test_one_status_of_each_thing_is_exposed_as_1(
    number: float | None, signed: dict[str, bool]
) -> None:
    assessment = _assess(number, signed=signed)
    samples = _statuses(assessment)
    metrics = own_metrics("verdict")
    assert samples.keys() == metrics.keys()
    for name, series in samples.items():
        assert metrics[name].labels
        if name.endswith("_timestamp_seconds"):
            continue
        things: dict[tuple[str, ...], list[float]] = {}
        for labels, value in series.items():
            assert len(labels) == len(metrics[name].labels)
            assert all(type(label) is str for label in labels)
            things.setdefault(labels[:-1], []).append(value)
        for values in things.values():
            assert sorted(values) == [0.0] * (len(values) - 1) + [1.0]


def _statuses(assessment: Assessment) -> Samples:
    """Return the samples that say which status a thing has."""
    samples = verdict_samples(assessment)
    return {name: series for name, series in samples.items() if not name.startswith("loom_tracked")}


def test_exposed_statuses_are_those_of_the_assessment() -> None:
    samples = _statuses(_assess(1, signed={"people_day_2": False}))
    shown = {
        name: {labels for labels, value in series.items() if value}
        for name, series in samples.items()
    }
    assert shown == {
        "loom_criterion_status": {
            ("number", "one", "fail"),
            ("speed", "all", "pass"),
            ("people", "all", "inconclusive"),
        },
        "loom_deployment_verdict": {("no_go",)},
        "loom_daily_check_status": {
            ("1", "number_day_1", "fail"),
            ("2", "people_day_2", "fail"),
        },
        "loom_daily_check_answered_timestamp_seconds": {
            ("1", "number_day_1"),
            ("2", "people_day_2"),
        },
        "loom_deployment_stage": {("no_go",)},
        "loom_sign_off_status": {
            ("people", "missing"),
            ("people_day_2", "rejected"),
            ("boss", "missing"),
        },
        "loom_sign_off_timestamp_seconds": {("people_day_2",)},
    }
    pending = verdict_samples(_assess(None))["loom_daily_check_status"]
    assert pending["1", "number_day_1", "pending"] == 1

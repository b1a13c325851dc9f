"""`or_manual`: people judge what is not configured, and are heard where everything is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from exporter.catalog.criteria import Criterion
from exporter.deployment.records import Outcome
from exporter.deployment.sign_offs import sign, signable
from exporter.deployment.suite_results import SuiteRecord, SuiteResult
from exporter.run_state import State
from exporter.verdict.criteria import judge_criterion
from tests.support.judging import APPLIED_AT, make_board, make_deployment, make_evidence

if TYPE_CHECKING:
    from exporter.verdict.criteria import CriterionResult

PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE

DEPLOYMENT = make_deployment("""
suites:
  restore: {title: The backup is restored, planned: 1}
criteria:
  backup:
    title: The backup can be restored
    or_manual: true
    conditions:
      - {metric: loom_things, at_least: 1}
      - {suite: restore}
""")
RESTORED = SuiteResult(suite="restore", at=APPLIED_AT + 60, sha256="0", passed=1)
ROUND = {"loom_things": {("round",): 3.0}}
ODD = {"loom_things": {("odd",): 0.0}}


def _judge(
    things: Any = State.UNCONFIGURED,
    more_things: Any = State.UNCONFIGURED,
    *,
    results: tuple[SuiteResult, ...] = (),
    approved: bool | None = None,
    at: float = APPLIED_AT + 60,
) -> CriterionResult:
    """Judge by what two sources of one metric said, a suite, and a person."""
    board = make_board()
    for query, said in (("things", things), ("more_things", more_things)):
        if isinstance(said, State):
            board.fail(query, said, "")
        else:
            board.publish(query, State.OK, said)
    said_by_ada = (
        {}
        if approved is None
        else {"backup": [sign(DEPLOYMENT, "backup", by="Ada", at=at, approved=approved)]}
    )
    suites = {"restore": SuiteRecord(1, results)}
    evidence = make_evidence(board, suites=suites, sign_offs=said_by_ada)
    return judge_criterion("backup", DEPLOYMENT.criteria["backup"], evidence)


def test_criterion_can_be_signed() -> None:
    assert signable(DEPLOYMENT) == {"backup": "The backup can be restored"}


@pytest.mark.parametrize(
    ("approved", "outcome"), [(None, INCONCLUSIVE), (True, PASS), (False, FAIL)]
)
def test_people_judge_what_nobody_has_configured(approved: bool | None, outcome: Outcome) -> None:
    found = _judge(approved=approved)
    assert (found.outcome, found.is_manual, len(found.findings)) == (outcome, True, 1)


def test_nobody_needs_to_sign_where_everything_is_configured() -> None:
    found = _judge(ROUND, results=(RESTORED,))
    assert (found.outcome, found.is_manual) == (PASS, False)
    assert _judge(ODD, results=(RESTORED,)).outcome is FAIL


def test_refusal_counts_where_everything_is_configured() -> None:
    assert _judge(ROUND, results=(RESTORED,), approved=False).outcome is FAIL
    assert _judge(ROUND, results=(RESTORED,), approved=True).outcome is PASS


def test_signature_makes_up_neither_for_a_failure_nor_for_a_source_that_is_away() -> None:
    assert _judge(ODD, approved=True).outcome is FAIL
    for state in (State.UNREACHABLE, State.LIMITED, State.DENIED, State.ERROR, State.EMPTY):
        assert _judge(state, approved=True).outcome is INCONCLUSIVE, state


def test_approval_from_before_the_deployment_proves_nothing_and_a_refusal_stays() -> None:
    early = APPLIED_AT - 60
    found = _judge(approved=True, at=early)
    assert found.outcome is INCONCLUSIVE
    (finding,) = found.findings
    assert (
        "which was before the last migration or rollback; again: loom-exporter sign-off"
        in finding.evidence
    )
    assert _judge(approved=False, at=early).outcome is FAIL
    assert _judge(ROUND, results=(RESTORED,), approved=True, at=early).outcome is PASS


def test_part_that_is_configured_is_judged_and_the_rest_is_signed() -> None:
    unsigned = _judge(ROUND)
    assert (unsigned.outcome, unsigned.is_manual) == (INCONCLUSIVE, True)
    assert [each.outcome for each in unsigned.findings] == [PASS, INCONCLUSIVE]
    assert _judge(ROUND, approved=True).outcome is PASS


def test_signature_alone_does_not_settle_what_is_open_for_another_reason() -> None:
    found = _judge(State.UNREACHABLE)
    assert (found.outcome, found.is_manual, len(found.findings)) == (INCONCLUSIVE, False, 2)


def test_of_two_sources_the_one_that_is_configured_counts() -> None:
    for sources in ((ROUND, State.UNCONFIGURED), (State.UNCONFIGURED, ROUND)):
        assert _judge(*sources, results=(RESTORED,)).outcome is PASS
    assert _judge(ROUND, State.UNREACHABLE, results=(RESTORED,)).outcome is INCONCLUSIVE


def test_without_or_manual_a_source_that_is_missing_leaves_it_open() -> None:
    criterion = Criterion.model_validate(
        {"title": "Things", "conditions": [{"metric": "loom_things", "at_least": 1}]}
    )
    board = make_board()
    for query in ("things", "more_things"):
        board.fail(query, State.UNCONFIGURED, "no source")
    found = judge_criterion("things", criterion, make_evidence(board))
    assert (found.outcome, found.is_manual) == (INCONCLUSIVE, False)
    assert "is unconfigured (no source)" in found.findings[0].evidence

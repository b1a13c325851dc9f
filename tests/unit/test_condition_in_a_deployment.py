"""A condition is judged once its phase is applied and what it asks for was looked at since."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from exporter.deployment.progress import DeploymentProgress, PhaseProgress
from exporter.verdict.evidence import SETTLE_SECONDS
from tests.support.judging import (
    APPLIED_AT,
    DONE,
    FAIL,
    INCONCLUSIVE,
    NOT_BEGUN,
    ZERO,
    half_done,
    judge,
    make_board,
    make_evidence,
    number_is,
)

if TYPE_CHECKING:
    from exporter.deployment.records import Outcome


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("phase", ["all", "one", "two"])
def test_nothing_is_judged_before_the_deployment(phase: str, value: float) -> None:
    assert judge(ZERO, number_is(value, deployed=NOT_BEGUN), phase).outcome is INCONCLUSIVE


def test_phase_that_is_applied_is_judged_and_the_one_that_is_not_waits() -> None:
    evidence = number_is(1, deployed=half_done(settled_at=time.time() + 900))
    assert judge(ZERO, evidence, "one").outcome is FAIL
    found = judge(ZERO, evidence, "two")
    assert (found.outcome, found.evidence) == (
        INCONCLUSIVE,
        "loom_number: phase two is not applied",
    )


def test_deployment_left_unfinished_is_judged_once_it_had_its_time() -> None:
    steps = {("first", "one"): 1.0, ("second", "two"): 0.0}
    board = make_board(steps={"loom_steps": steps})
    condition = {"metric": "loom_steps", "equals": 1}
    under_way = half_done(settled_at=time.time() + 900)
    assert judge(condition, make_evidence(board, deployed=under_way)).outcome is INCONCLUSIVE
    found = judge(condition, make_evidence(board, deployed=half_done(APPLIED_AT + 1800)))
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
        found = judge(ZERO, number_is(1, deployed=deployed), phase)
        assert found.outcome is INCONCLUSIVE
        assert "not known" in found.evidence


def test_value_that_was_looked_at_before_the_phase_was_applied_does_not_count() -> None:
    evidence = number_is(1)
    looked_at = evidence.snapshots["number"].last_success_at
    assert looked_at is not None

    def outcome(applied_at: float) -> Outcome:
        deployed = replace(DONE, phases={**DONE.phases, "two": PhaseProgress(True, applied_at)})
        return judge(ZERO, replace(evidence, deployed=deployed), "two").outcome

    assert outcome(looked_at + 1) is INCONCLUSIVE
    assert outcome(looked_at - SETTLE_SECONDS + 0.1) is INCONCLUSIVE, "asked for before, perhaps"
    assert outcome(looked_at - SETTLE_SECONDS - 0.1) is FAIL


def test_phase_applied_before_anybody_looked_is_judged() -> None:
    deployed = DeploymentProgress(
        {"one": PhaseProgress(True), "two": PhaseProgress(True)}, has_begun=True
    )
    assert judge(ZERO, number_is(1, deployed=deployed), "two").outcome is FAIL


def test_phase_of_a_condition_comes_before_that_of_its_criterion() -> None:
    found = judge({**ZERO, "phase": "two"}, number_is(1), "one")
    assert (found.outcome, found.phases) == (FAIL, ("two",))
    assert judge(ZERO, number_is(1), "one").phases == ("one",)
    assert judge(ZERO, number_is(1), "all").phases == ()

"""Each check of the first week is answered once, on its day, and the answer is kept."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from exporter.catalog import load_catalog
from exporter.clock import Clock
from exporter.deployment.progress import DeploymentProgress
from exporter.deployment.records import RECORDS, Outcome, Record
from exporter.deployment.sign_offs import sign
from exporter.run_state import State
from exporter.settings import packaged_queries
from exporter.state import StateStore
from exporter.verdict.criteria import (
    is_left_to_people,
    judge_check,
    judge_criterion,
    worst,
)
from exporter.verdict.plan import PlannedCheck, new_records, planned_checks
from tests.support.judging import (
    APPLIED_AT,
    DONE,
    NOT_BEGUN,
    half_done,
    make_board,
    make_deployment,
    make_evidence,
)
from tests.support.state import save, scope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

HOUR = 3600.0
DAY = 24 * HOUR
DEPLOYMENT = make_deployment("""
criteria:
  numbers: {title: Numbers are right, conditions: [{metric: loom_number, equals: 0}]}
plan:
  - {after: 1d, title: Second, checks: {numbers_day_2: {title: Numbers again, criteria: [numbers]}}}
  - after: 20m
    title: First
    checks:
      number_day_1: {title: Number, conditions: [{metric: loom_number, equals: 0}]}
      people_day_1: {title: People, manual: true}
""")
NAMES = ["number_day_1", "people_day_1", "numbers_day_2"]


def _look(
    ended: float,
    value: float | None = 0.0,
    records: dict[str, Record] | None = None,
    hour: float = HOUR,
    **changes: Any,
) -> dict[str, PlannedCheck]:
    """Return the checks as they are `ended` seconds after the deployment."""
    said = {} if value is None else {"loom_number": {(): value}}
    evidence = make_evidence(make_board(number=said))
    at = evidence.now - ended
    phases = {name: seen._replace(at=at) for name, seen in DONE.phases.items()}
    deployed = replace(DONE, phases=phases, ended_at=at, settled_at=at + hour / 2)
    evidence = replace(evidence, **{"deployed": deployed, **changes})
    criteria = {
        name: judge_criterion(name, criterion, evidence)
        for name, criterion in DEPLOYMENT.criteria.items()
    }
    known = {name: (record,) for name, record in (records or {}).items()}
    return {
        check.name: check
        for check in planned_checks(DEPLOYMENT, criteria, known, evidence, Clock(hour))
    }


def _outcomes(checks: dict[str, PlannedCheck]) -> list[Outcome | None]:
    return [check.outcome for check in checks.values()]


def _records(checks: dict[str, PlannedCheck], old: dict[str, Record]) -> dict[str, Record]:
    known = {name: (record,) for name, record in old.items()}
    return {record.check: record for record in new_records(checks.values(), known)}


def test_checks_come_in_the_order_of_their_days() -> None:
    checks = _look(HOUR)
    assert list(checks) == NAMES
    assert [check.when for check in checks.values()] == ["Hour 1", "Hour 1", "Day 1"]


@pytest.mark.parametrize(
    ("ended", "answered"),
    [
        (0.4 * HOUR, []),
        (0.6 * HOUR, ["number_day_1"]),
        (23.9 * HOUR, ["number_day_1"]),
        (24.1 * HOUR, ["number_day_1", "numbers_day_2"]),
    ],
)
def test_first_day_begins_when_the_database_is_warm_and_the_next_a_day_after_the_deployment(
    ended: float, answered: list[str]
) -> None:
    checks = _look(ended)
    assert list(_records(checks, {})) == answered


def test_hour_of_a_rehearsal_shortens_the_days() -> None:
    assert list(_records(_look(45, hour=2.0), {})) == ["number_day_1"]
    assert list(_records(_look(49, hour=2.0), {})) == ["number_day_1", "numbers_day_2"]


@pytest.mark.parametrize(("value", "outcome"), [(0.0, Outcome.PASS), (3.0, Outcome.FAIL)])
def test_first_answer_is_recorded_with_its_evidence_and_stays(
    value: float, outcome: Outcome
) -> None:
    before = time.time()
    checks = _look(HOUR, value)
    records = _records(checks, {})
    record = records["number_day_1"]
    assert record.outcome is outcome
    assert record.evidence.startswith(f"loom_number is {value:g}")
    assert record.at >= before
    # Later it is another, and nobody looks again.
    later = _look(HOUR, 1.0 - value, records)
    assert later["number_day_1"].outcome is outcome
    assert later["number_day_1"].evidence == record.evidence
    assert _records(later, records) == {}


def test_check_without_data_waits_for_its_answer_as_long_as_its_day_lasts() -> None:
    waiting = _look(20 * HOUR, None)
    assert waiting["number_day_1"].outcome is None
    assert "no such series" in waiting["number_day_1"].evidence
    assert _records(waiting, {}) == {}
    ended = _look(25 * HOUR, None)
    record = _records(ended, {})["number_day_1"]
    assert record.outcome is Outcome.INCONCLUSIVE
    assert record.evidence.startswith("a day went by without an answer; then: loom_number: ")


def test_value_of_the_next_day_is_no_answer_to_the_day_before() -> None:
    checks = _look(25 * HOUR, 0.0)
    assert _outcomes(checks) == [Outcome.INCONCLUSIVE, Outcome.INCONCLUSIVE, Outcome.PASS]


def test_record_of_an_earlier_deployment_does_not_count() -> None:
    old = {"number_day_1": Record(outcome=Outcome.FAIL, evidence="old", at=time.time() - 2 * HOUR)}
    checks = _look(HOUR, 0.0, old)
    assert checks["number_day_1"].outcome is Outcome.PASS
    assert _records(checks, old).keys() == {"number_day_1"}


@pytest.mark.parametrize(
    ("deployed", "why"),
    [
        (NOT_BEGUN, "due in hour 1 after the deployment"),
        (half_done(settled_at=0.0), "due in hour 1 after the deployment"),
        # The rollout of the application was marked, and a phase is missing.
        (replace(half_done(0.0), ended_at=APPLIED_AT), "due in hour 1 after the deployment"),
        (DeploymentProgress({}), "due in hour 1 after the deployment"),
        (replace(DONE, ended_at=None), "not known when the deployment ended"),
    ],
)
def test_without_the_time_of_a_whole_deployment_nothing_is_due(
    deployed: DeploymentProgress, why: str
) -> None:
    checks = _look(HOUR, deployed=deployed)
    assert _outcomes(checks) == [None, None, None]
    assert why in checks["number_day_1"].evidence


@pytest.mark.parametrize("approved", [True, False])
def test_check_of_people_is_answered_by_its_sign_off_which_may_come_late(approved: bool) -> None:
    signed = sign(DEPLOYMENT, "people_day_1", by="Ada", at=1.0, note="calm", approved=approved)
    for ended in (HOUR, 30 * HOUR):
        unsigned = _look(ended)["people_day_1"]
        assert unsigned.outcome is (None if ended < DAY else Outcome.INCONCLUSIVE)
        checks = _look(ended, sign_offs={"people_day_1": [signed]})
        check = checks["people_day_1"]
        assert check.outcome is (Outcome.PASS if approved else Outcome.FAIL)
        assert "Ada" in check.evidence
        assert "calm" in check.evidence
        assert "people_day_1" not in _records(checks, {})


def test_records_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    records = _records(_look(25 * HOUR), {})
    store = StateStore(path)
    assert RECORDS.save(scope(store), records)
    store.close()
    store = StateStore(path)
    assert RECORDS.load(scope(store)) == records
    save(store, RECORDS.name, {"number_day_1": "no JSON"})
    assert RECORDS.load(scope(store)).keys() == records.keys() - {"number_day_1"}
    store.close()


def test_check_is_left_to_people_where_its_source_is_not_configured() -> None:
    deployment = make_deployment("""
plan:
  - after: 1h
    title: First
    checks:
      flows: {title: Flows, or_manual: true, conditions: [{metric: loom_number, equals: 0}]}
""")
    (check,) = deployment.plan[0].checks.values()
    board = make_board(number={"loom_number": {(): 0.0}})
    rejected = {"flows": [sign(deployment, "flows", by="Ada", at=1.0, approved=False)]}
    approved = {"flows": [sign(deployment, "flows", by="Ada", at=1.0)]}

    def outcome(**said: Any) -> tuple[bool, Outcome]:
        evidence = make_evidence(board, **said)
        findings = judge_check("flows", check, {}, evidence)
        return is_left_to_people(check, evidence), worst(each.outcome for each in findings)

    assert outcome() == (False, Outcome.PASS)
    assert outcome(sign_offs=rejected) == (False, Outcome.FAIL)
    board.fail("number", State.UNCONFIGURED, "")
    assert outcome() == (True, Outcome.INCONCLUSIVE)
    assert outcome(sign_offs=approved) == (True, Outcome.PASS)


def test_age_of_the_view_is_judged_in_the_second_week_and_by_no_criterion() -> None:
    """The checklist schedules its refresh in week two; until then the view grows old."""
    shipped = load_catalog(packaged_queries()).deployment
    metric = "loom_mfa_view_refreshed_timestamp_seconds"
    judged = [each for criterion in shipped.criteria.values() for each in criterion.conditions]
    assert metric not in {condition.metric for condition in judged}
    (after,) = {
        step.after
        for step in shipped.plan
        for check in step.checks.values()
        if metric in {condition.metric for condition in check.conditions}
    }
    assert 7 * DAY <= after <= 14 * DAY


def test_word_of_a_person_is_kept_when_a_source_is_configured_later() -> None:
    deployment = make_deployment("""
plan:
  - after: 1h
    title: First
    checks:
      flows: {title: Flows, or_manual: true, conditions: [{metric: loom_number, equals: 0}]}
""")
    now = time.time()
    deployed = replace(DONE, ended_at=now - 3 * DAY, settled_at=now - 3 * DAY)
    passed = {"flows": (Record(outcome=Outcome.PASS, evidence="0", at=now, check="flows"),)}

    def answer(
        value: float, *, approved: bool, records: Mapping[str, Sequence[Record]] | None = None
    ) -> tuple[Outcome | None, int]:
        word = sign(deployment, "flows", by="Ada", at=now - 2 * DAY, approved=approved)
        board = make_board(number={"loom_number": {(): value}})
        evidence = make_evidence(board, deployed=deployed, sign_offs={"flows": [word]})
        checks = planned_checks(deployment, {}, records or {}, evidence)
        return checks[0].outcome, len(new_records(checks, records or {}))

    assert answer(0.0, approved=True) == (Outcome.PASS, 0)
    assert answer(1.0, approved=True) == (Outcome.FAIL, 0)
    assert answer(0.0, approved=False, records=passed) == (Outcome.FAIL, 0)

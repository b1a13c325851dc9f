"""Results of suites: recorded once and for good, and judged so that none hides another."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from exporter.catalog.condition import Condition
from exporter.deployment import suite_results
from exporter.deployment.progress import DeploymentProgress, PhaseProgress
from exporter.deployment.records import Outcome
from exporter.deployment.suite_folder import SuiteFolder
from exporter.deployment.suite_results import (
    SuiteRecord,
    SuiteResult,
    load_suites,
    save_result,
    suite_result,
    suite_samples,
)
from exporter.run_state import RunError, State
from exporter.sources.suite_files import Counts
from exporter.state import StateStore
from exporter.verdict.conditions import judge_condition
from tests.support.commands import run
from tests.support.judging import (
    APPLIED_AT,
    DONE,
    NOT_BEGUN,
    make_deployment,
    make_evidence,
)
from tests.support.queries import DEPLOYMENT as FOLDER_DEPLOYMENT
from tests.support.queries import QUERY, make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exporter.state import Scope

PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE

SUITES = """
suites:
  rls: {title: Row-level security, planned: 3}
  table: {title: A script, planned: 1, notices: '\\| *(?P<outcome>PASS|FAIL)'}
"""
DEPLOYMENT = make_deployment(SUITES)
GOOD = "1..3\nok 1 - a\nok 2 - b\nok 3 - c\n"
BAD = "1..3\nok 1 - a\nnot ok 2 - clients see all\nok 3 - c\n"


@pytest.fixture
def people(tmp_path: Path) -> Iterator[Scope]:
    store = StateStore(tmp_path / "state.sqlite3")
    yield store.scope("loom", "test")
    store.close()


def _result(at: float, passed: int = 3, **changes: Any) -> SuiteResult:
    return SuiteResult(suite="rls", at=at, sha256=f"{at:064.0f}", passed=passed, **changes)


# ── kept ─────────────────────────────────────────────────────────────────────────────────────────


def test_result_is_added_and_none_takes_the_place_of_another(people: Scope) -> None:
    counts = Counts(passed=2, failed=1, failed_names=("b",))
    first = suite_result("rls", BAD.encode(), counts, 100.0, commit="abc", environment="staging")
    for result in (first, _result(200.0), _result(150.0, environment="staging")):
        assert save_result(people, result)
    found = load_suites(people, DEPLOYMENT)["rls"]
    assert [result.at for result in found.results] == [100, 150, 200]
    assert found.results[0] == first
    assert load_suites(people, DEPLOYMENT)["table"].results == []


def test_same_result_is_recorded_once_and_a_run_again_twice(people: Scope) -> None:
    for at in (100.0, 100.0, 160.0):
        assert save_result(people, suite_result("rls", b"same", Counts(passed=1), at))
    assert [each.at for each in load_suites(people, DEPLOYMENT)["rls"].results] == [100, 160]


def test_oldest_results_go_when_there_are_very_many(
    people: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite_results, "MOST_RESULTS", 3)
    save_result(people, _result(1.0, environment="staging"))
    for at in range(5):
        save_result(people, _result(float(at)))
    kept = load_suites(people, DEPLOYMENT)["rls"].results
    assert [each.at for each in kept if not each.environment] == [2, 3, 4]
    assert [each.at for each in kept if each.environment] == [1]


def test_file_may_say_that_it_is_older_but_not_that_it_is_newer() -> None:
    for began_at, at in ((None, 100.0), (60.0, 60.0), (500.0, 100.0), (-5.0, 0.0)):
        assert suite_result("rls", b"", Counts(began_at=began_at), 100.0).at == at


@pytest.mark.parametrize(
    "words", [{"environment": "a/b"}, {"environment": "x" * 51}, {"commit": "a\nb"}]
)
def test_words_that_cannot_be_shown_are_refused(words: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        suite_result("rls", b"", Counts(), 1.0, **words)


def test_samples_are_those_of_the_newest_result_and_none_without_one() -> None:
    assert suite_samples({"rls": SuiteRecord(3)}) == {
        "loom_suite_tests": {},
        "loom_suite_timestamp_seconds": {},
    }
    results = [_result(1.0), _result(2.0, passed=1, failed=1)]
    assert suite_samples({"rls": SuiteRecord(3, results)}) == {
        "loom_suite_tests": {
            ("rls", "passed"): 1,
            ("rls", "failed"): 1,
            ("rls", "skipped"): 0,
            ("rls", "missing"): 1,
        },
        "loom_suite_timestamp_seconds": {("rls",): 2.0},
    }


# ── judged ───────────────────────────────────────────────────────────────────────────────────────


def _judge(
    *results: SuiteResult, planned: int | None = None, **evidence: Any
) -> tuple[Outcome, str]:
    condition = Condition(suite="rls", planned=planned)
    known = make_evidence(suites={"rls": SuiteRecord(3, results)}, **evidence)
    found = judge_condition(condition, "two", known)
    assert found.evidence.startswith("suite rls: ")
    assert found.phases in ((), ("two",))
    return found.outcome, found.evidence.removeprefix("suite rls: ")


AFTER = APPLIED_AT + 60


def test_all_planned_tests_passed() -> None:
    outcome, text = _judge(_result(AFTER, commit="abc123"))
    assert outcome is PASS
    assert text.startswith("3 tests passed, ")
    assert text.endswith(", at abc123")


@pytest.mark.parametrize(
    ("result", "outcome", "told"),
    [
        (_result(AFTER, 2, failed=1, failed_names=("b",)), FAIL, "1 test failed, "),
        (_result(AFTER, 2, failed=1, failed_names=("b",)), FAIL, ": b"),
        (_result(AFTER, 9, failed=2), FAIL, "2 tests failed, "),
        (_result(AFTER, 2, failed=1, problem="bailed out: x"), FAIL, "1 test failed, "),
        (_result(AFTER, 3, problem="bailed out: x"), INCONCLUSIVE, "bailed out: x, "),
        (_result(AFTER, 2), INCONCLUSIVE, "2 of 3 planned tests passed, "),
        (_result(AFTER, 2, skipped=1), INCONCLUSIVE, "2 of 3 planned tests passed, 1 skipped, "),
        (_result(AFTER, 0, skipped=3), INCONCLUSIVE, "0 of 3 planned tests passed, 3 skipped, "),
        (_result(APPLIED_AT - 1), INCONCLUSIVE, "before the last migration"),
    ],
)
def test_anything_less_is_no_pass(result: SuiteResult, outcome: Outcome, told: str) -> None:
    found, text = _judge(result)
    assert (found, told in text) == (outcome, True), text


def test_condition_may_plan_more_tests_than_the_suite_but_not_fewer() -> None:
    assert _judge(_result(AFTER), planned=4)[0] is INCONCLUSIVE
    assert _judge(_result(AFTER, 2), planned=2)[0] is INCONCLUSIVE


def test_without_a_result_nothing_is_known() -> None:
    assert _judge() == (INCONCLUSIVE, "no result yet: loom-exporter record rls FILE")


def test_before_its_phase_nothing_is_judged() -> None:
    outcome, text = _judge(_result(AFTER), deployed=NOT_BEGUN)
    assert (outcome, text) == (INCONCLUSIVE, "phase two is not applied")


def test_later_migration_of_any_phase_makes_a_result_too_old() -> None:
    phases = {"one": PhaseProgress(True, AFTER + 1), "two": PhaseProgress(True, APPLIED_AT)}
    later = DeploymentProgress(phases, has_begun=True, ended_at=AFTER + 1)
    assert _judge(_result(AFTER), deployed=later)[0] is INCONCLUSIVE
    unknown = replace(DONE, phases={"one": PhaseProgress(True), "two": PhaseProgress(True)})
    assert _judge(_result(AFTER), deployed=unknown)[0] is PASS


def test_pass_elsewhere_does_not_hide_a_failure() -> None:
    failed = _result(AFTER, 2, failed=1, environment="production")
    outcome, text = _judge(failed, _result(AFTER + 60, environment="staging"))
    assert outcome is FAIL
    assert "1 test failed in production, " in text
    mended = _result(AFTER + 120, environment="production")
    outcome, text = _judge(failed, _result(AFTER + 60, environment="staging"), mended)
    assert outcome is PASS
    assert "; 1 of 2 runs since the migration failed; 3 tests passed in staging" in text


# ── a folder ─────────────────────────────────────────────────────────────────────────────────────


def _write(path: Path, text: str | bytes, ago: float = 60.0) -> None:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(path, (time.time() - ago,) * 2)


async def test_files_of_a_folder_are_recorded_as_they_change(tmp_path: Path, people: Scope) -> None:
    folder = tmp_path / "suites"
    folder.mkdir()
    job = SuiteFolder(folder, people, DEPLOYMENT).job(None)
    assert (await job.ask()).state is State.EMPTY
    _write(folder / "rls.tap", BAD, ago=50)
    _write(folder / "rls.staging.tap", GOOD, ago=40)
    _write(folder / "table.out", " a | PASS | x\n")
    _write(folder / ".rls.tap.partial", "1..")
    _write(folder / "README.md", "hello")
    (folder / "rls").mkdir()
    result = await job.ask()
    assert result.state is State.OK
    assert result.samples["loom_suite_tests"]["rls", "passed"] == 3
    _write(folder / "rls.tap", GOOD, ago=30)
    for _ in range(2):
        await job.ask()
    recorded = [(each.environment, each.failed) for each in _recorded(people)]
    assert recorded == [("", 1), ("staging", 0), ("", 0)]
    again = SuiteFolder(folder, people, DEPLOYMENT).job(None)
    await again.ask()
    assert len(_recorded(people)) == 3, "a restart records nothing twice"


def _recorded(people: Scope) -> list[SuiteResult]:
    return list(load_suites(people, DEPLOYMENT)["rls"].results)


async def test_file_that_is_still_written_to_is_left_for_the_next_look(
    tmp_path: Path, people: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    job = SuiteFolder(tmp_path, people, DEPLOYMENT).job(None)
    _write(tmp_path / "rls.tap", "1..3\nok 1\n", ago=0)
    assert (await job.ask()).state is State.EMPTY
    _write(tmp_path / "rls.tap", GOOD, ago=3)
    await job.ask()
    assert [each.problem for each in _recorded(people)] == [""]


async def test_broken_file_takes_the_place_of_an_older_pass(tmp_path: Path, people: Scope) -> None:
    job = SuiteFolder(tmp_path, people, DEPLOYMENT).job(None)
    _write(tmp_path / "rls.xml", GOOD, ago=90)
    await job.ask()
    _write(tmp_path / "rls.xml", "<testsuite", ago=60)
    await job.ask()
    newest = _recorded(people)[-1]
    assert newest.problem.startswith(f"{tmp_path / 'rls.xml'}: not XML: ")
    assert _judge(*_recorded(people), deployed=NOT_BEGUN)[0] is INCONCLUSIVE


async def test_file_of_the_future_counts_as_written_now(tmp_path: Path, people: Scope) -> None:
    _write(tmp_path / "rls.tap", GOOD, ago=-86400)
    await SuiteFolder(tmp_path, people, DEPLOYMENT).job(None).ask()
    assert _recorded(people)[0].at <= time.time()


async def test_folder_that_is_not_there_is_an_error(tmp_path: Path, people: Scope) -> None:
    with pytest.raises(RunError, match="cannot be read: No such file") as raised:
        await SuiteFolder(tmp_path / "none", people, DEPLOYMENT).job(None).ask()
    assert raised.value.state is State.ERROR


# ── the command ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {"things.sql": QUERY, "deployment.yaml": FOLDER_DEPLOYMENT + SUITES}
    monkeypatch.setenv("LOOM_EXPORTER_QUERIES", str(make_folder(tmp_path / "queries", files)))
    monkeypatch.setenv("LOOM_EXPORTER_STATE_DIR", str(tmp_path / "state"))
    StateStore(tmp_path / "state" / "state.sqlite3", owner=True).close()
    monkeypatch.setenv("LOOM_EXPORTER_DATABASE_NAME", "loom")
    return tmp_path


def test_record_must_know_of_which_database(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOOM_EXPORTER_DATABASE_NAME")
    _write(recording / "out", "NOTICE:  pass one\n")
    done = run("record", "table", str(recording / "out"), "--notices", "(?P<outcome>pass)")
    assert done.exit_code == 2
    assert "not known which database is meant; set LOOM_EXPORTER_DATABASE_URL" in done.stderr


def _of_command(folder: Path) -> list[SuiteResult]:
    store = StateStore(folder / "state" / "state.sqlite3", read_only=True)
    try:
        people = store.scope("loom", "test-deployment")
        return [
            each for record in load_suites(people, DEPLOYMENT).values() for each in record.results
        ]
    finally:
        store.close()


def test_record_says_what_it_has_recorded(recording: Path) -> None:
    _write(recording / "out.tap", BAD)
    done = run("record", "rls", str(recording / "out.tap"), "--environment", "staging")
    assert (done.exit_code, done.stdout) == (
        1,
        "rls: 2 passed, 1 failed, 0 skipped (clients see all), 3 planned\n",
    )
    _write(recording / "out.tap", GOOD, ago=30)
    done = run("record", "rls", str(recording / "out.tap"), "--commit", "abc")
    assert (done.exit_code, done.stdout) == (0, "rls: 3 passed, 0 failed, 0 skipped, 3 planned\n")
    bad, good = _of_command(recording)
    assert (bad.environment, bad.failed, bad.commit) == ("staging", 1, "")
    assert (good.environment, good.failed, good.commit) == ("", 0, "abc")
    assert good.at == pytest.approx(time.time() - 30, abs=20)


def test_record_takes_the_time_and_the_notices_of_the_command_line(recording: Path) -> None:
    _write(recording / "out", "NOTICE:  pass one\n")
    arguments = ("--notices", r"NOTICE:\s+(?P<outcome>\w+)", "--at", "2025-10-21T14:00:00Z")
    done = run("record", "table", str(recording / "out"), *arguments)
    assert done.exit_code == 0, done.stderr
    assert [each.at for each in _of_command(recording)] == [1761055200.0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rsl", "out"], "no suite rsl in deployment.yaml (`suites`); known are rls, table"),
        (["rls", "none"], "none: cannot be read: No such file or directory"),
        (["rls", "page.html"], "page.html: is XML, but not JUnit XML"),
        (["rls", "bomb.xml"], "bomb.xml: has a document type declaration"),
        (["rls", "huge"], "huge: longer than 4 MiB"),
        (["rls", "out", "--notices", "("], "command line: --notices: not a regular expression"),
        (["rls", "out", "--notices", "a"], "command line: --notices: needs the group outcome"),
        (["rls", "out", "--environment", "a b"], "command line: --environment: must be letters"),
        (["rls", "out", "--at", "soon"], "command line: --at: must be a date and time"),
        (["rls", "out", "--at", "2999-01-01T00:00Z"], "command line: --at: lies in the future"),
    ],
)
def test_what_cannot_be_recorded_is_2_in_one_line(
    recording: Path, arguments: list[str], told: str
) -> None:
    (recording / "out").write_text(GOOD)
    (recording / "page.html").write_text("<html/>")
    (recording / "bomb.xml").write_text('<!DOCTYPE a [<!ENTITY a "a">]><testsuite/>')
    with (recording / "huge").open("wb") as file:
        file.truncate(2**33)
    arguments[1] = str(recording / arguments[1])
    done = run("record", *arguments)
    assert done.exit_code == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert _of_command(recording) == []

"""`verify` and `sign-off` on deployments of the demo, and where there is nothing to say.

What the commands said while the demos were played is in `tests.support.plays`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from exporter.comparison.rule import SLOWER
from exporter.render.verdict_json import VERDICT_SCHEMA
from tests.support.daemon import command
from tests.support.plays import MANUAL, with_status
from tests.support.shipped_queries import DEPLOYMENT
from tests.support.watching import MONITOR, deploy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from exporter.demo.play import Scenario
    from tests.support.demo_process import Told
    from tests.support.loom_database import LoomDatabase
    from tests.support.plays import Answers, Play

AWAY = "postgresql://nobody@127.0.0.1:1/nothing"
ALL = set(DEPLOYMENT.criteria)


@pytest.fixture
def healthy(plays: Mapping[Scenario, Play]) -> Answers:
    return plays["healthy"].answers


@pytest.fixture
def published(plays: Mapping[Scenario, Play]) -> Answers:
    return plays["published"].answers


@pytest.fixture
def regression(plays: Mapping[Scenario, Play]) -> Answers:
    return plays["regression"].answers


# ── healthy ──────────────────────────────────────────────────────────────────────────────────────


def test_healthy_deployment_waits_for_nothing_but_people(healthy: Answers) -> None:
    told = healthy["json, unsigned"]
    assert with_status(told, "inconclusive") == MANUAL
    assert with_status(told, "pass") == ALL - MANUAL
    assert (told.returncode, json.loads(told.stdout)["verdict"]) == (3, "inconclusive")
    text = healthy["text, unsigned"]
    titles = ", ".join(each.title for each in DEPLOYMENT.criteria.values() if each.is_signed)
    first, second, *_ = text.stdout.splitlines()
    assert text.returncode == 3
    assert first.startswith("INCONCLUSIVE: ")
    assert second == f"{len(MANUAL)} criteria are still open: {titles}."
    for name in MANUAL:
        assert f"loom-exporter sign-off {name} --by NAME" in text.stdout


def test_healthy_deployment_is_a_go_once_people_have_signed(healthy: Answers) -> None:
    assert {healthy[f"sign-off {name}"].returncode for name in MANUAL} == {0}
    text = healthy["text, signed"]
    assert text.returncode == 0
    assert text.stdout.startswith("GO: ")
    assert "\nEvery criterion is met.\n" in text.stdout
    told = healthy["json, signed"]
    assert (told.returncode, with_status(told, "pass")) == (0, ALL)
    junit = healthy["junit, signed"]
    assert junit.returncode == 0
    suite = _suite(junit)
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == (
        str(len(ALL)),
        "0",
        "0",
    )


def test_refused_sign_off_is_a_no_go_that_says_who_and_why(healthy: Answers) -> None:
    assert healthy["sign-off --reject"].returncode == 0
    text = healthy["text, rejected"]
    assert text.returncode == 1
    first, second, third, *_ = text.stdout.splitlines()
    assert first.startswith("NO-GO: ")
    title = DEPLOYMENT.sign_offs["security_team"].title
    assert second == f"1 criterion is not met: {title}."
    assert third.startswith(f"  ✗ {title}: rejected by Grace, ")
    assert third.endswith(": no review yet")


def test_another_database_than_the_baselines_is_4(healthy: Answers) -> None:
    told = healthy["other database"]
    _assert_one_line(told, 4, "'loom'", "'postgres'", "--allow-other-database")


def test_json_has_the_keys_that_scripts_rely_on(healthy: Answers) -> None:
    data = json.loads(healthy["json, signed"].stdout)
    assert data["schema"] == VERDICT_SCHEMA
    assert data.keys() >= {
        "schema",
        "database",
        "deployment",
        "at",
        "verdict",
        "phases_to_blame",
        "phases",
        "baseline",
        "criteria",
        "sign_offs",
        "first_week",
        "tracked",
    }
    judged = {"name", "title", "phase", "manual", "status", "note", "evidence"}
    assert all(each.keys() >= judged for each in [*data["criteria"], *data["sign_offs"]])
    assert all(
        finding.keys() >= {"status", "text", "phases"}
        for each in data["criteria"]
        for finding in each["evidence"]
    )
    assert set(data["phases"]) == set(DEPLOYMENT.phases)
    assert all(each["applied"] is True and each["at"] for each in data["phases"].values())
    assert data["baseline"]["began"] < data["baseline"]["ended"] < data["phases"]["security"]["at"]


# ── published, regression, rollback ──────────────────────────────────────────────────────────────


def test_published_deployment_is_a_no_go_that_names_what_it_hides(published: Answers) -> None:
    text = published["text"]
    assert text.returncode == 1
    head = text.stdout.partition("\n\n")[0]
    assert head.startswith("NO-GO: ")
    for told in (
        "2 tables whose policies refer to each other in a circle (expected 0; 0 before)",
        "2 users whose flag disagrees with their methods (expected 0; 14 before)",
        "2 users whose flag is NULL (expected 0; 2 before)",
        "17 functions without a search_path (expected 0; 20 before)",
    ):
        assert f"✗ {told}" in head
    assert "✓ 0 users in the view of discrepancies" in text.stdout
    assert re.search(r"✗ \d+ rollbacks in \d+", head)


def test_published_deployment_names_its_phases_and_what_a_rollback_risks(
    published: Answers,
) -> None:
    head = published["text"].stdout.partition("\n\n")[0]
    blamed = json.loads(published["json"].stdout)["phases_to_blame"]
    assert [(each["phase"], each["risk"]) for each in blamed] == [
        ("mfa", "low"),
        ("rls", "medium"),
        ("security", "high"),
    ]
    for each in blamed:
        assert f"Phase {each['phase']} ({each['title']}): rollback risk {each['risk']}." in head
        assert each["advice"] in head


def test_published_deployment_fails_the_pipeline_by_its_junit(published: Answers) -> None:
    told = published["junit"]
    assert told.returncode == 1
    suite = _suite(told)
    failed = {str(case.get("name")) for case in suite if case.find("failure") is not None}
    assert suite.get("failures") == str(len(failed))
    # The machine may have been slower at one of the two commands.
    assert failed ^ _titles(with_status(published["json"], "fail")) <= _titles({"performance"})
    (recursion,) = [
        failure for failure in suite.iter("failure") if "in a circle" in (failure.text or "")
    ]
    assert "2 tables whose policies" in recursion.get("message", "")


def test_regression_is_a_no_go_that_names_the_class_its_ratio_and_the_interval(
    regression: Answers,
) -> None:
    text = regression["text"]
    assert text.returncode == 1
    head = text.stdout.partition("\n\n")[0]
    match = re.search(
        r"^  ✗ class mfa_status: ([\d.]+) times the baseline, surely above ([\d.]+);"
        r" ([\d.]+) times in the median hour; .*\([\d,]+ calls, ",
        head,
        re.MULTILINE,
    )
    assert match, head
    ratio, lower, median = map(float, match.groups())
    assert 1 < lower < ratio
    assert min(ratio, median) > SLOWER
    assert "\nPhase mfa " in head


def test_regression_is_told_to_machines_too(regression: Answers) -> None:
    told = regression["json"]
    assert with_status(told, "fail") == {"performance", "schema_kept", "no_drift"}
    lost = "index idx_user_mfa_methods_user_status on user_mfa_methods was 1 before and is gone"
    assert lost in regression["text"].stdout
    assert "mfa" in {each["phase"] for each in json.loads(told.stdout)["phases_to_blame"]}
    failures = [each.text or "" for each in _suite(regression["junit"]).iter("failure")]
    assert any("class mfa_status: " in text for text in failures)


def test_rollback_is_told_as_one_and_nobody_is_told_to_roll_back_again(
    plays: Mapping[Scenario, Play],
) -> None:
    answer = plays["rollback"].answers["text"]
    assert answer.returncode == 3
    told = answer.stdout
    assert told.startswith("ROLLED BACK: ")
    assert "Phase mfa was rolled back, " in told
    assert not re.search(r"^Phase mfa \(", told, re.MULTILINE)
    assert "✓ objects of that name: 0 in all 7 series (expected 0)" in told
    assert "✓ 0 users whose flag disagrees with their methods" in told


# ── Where there is nothing to say ────────────────────────────────────────────────────────────────


def test_database_that_is_away_is_4(tmp_path: Path) -> None:
    env = {"LOOM_EXPORTER_DATABASE_URL": AWAY, "LOOM_EXPORTER_STATE_DIR": str(tmp_path)}
    for name in ("verify", "report"):
        _assert_one_line(command(name, env=env), 4, "127.0.0.1", "Connection refused")


def test_without_a_state_nothing_is_made_up_and_nothing_is_made(
    monitored: LoomDatabase, tmp_path: Path
) -> None:
    """As on a machine where the daemon does not run, or for another user than it runs as."""
    deploy(monitored, "healthy")
    folder = tmp_path / "none"
    told = command("verify", "--format", "json", env=_env(monitored, folder))
    assert told.returncode == 3
    assert with_status(told, "fail") == set()
    evidence = _evidence(told)
    assert {"class mfa_status: there is no baseline"} <= set(evidence["performance"])
    assert "migrations_applied" in with_status(told, "pass")
    live = "0 users whose flag disagrees with their methods (expected 0)"
    assert live in evidence["no_mfa_discrepancies"]
    assert str(folder) in told.stderr
    assert not folder.exists()


def test_state_that_cannot_be_read_is_told_in_one_line(
    monitored: LoomDatabase, tmp_path: Path
) -> None:
    (tmp_path / "folder" / "state.sqlite3").mkdir(parents=True)
    (tmp_path / "corrupt").mkdir()
    (tmp_path / "corrupt" / "state.sqlite3").write_bytes(b"no SQLite" * 1000)
    (tmp_path / "file").touch()
    for name in ("folder", "corrupt", "file"):
        folder = tmp_path / name
        _assert_one_line(command("verify", env=_env(monitored, folder)), 2, "state: ", str(folder))


def _env(loom: LoomDatabase, folder: Path) -> dict[str, str]:
    return {
        "LOOM_EXPORTER_DATABASE_URL": loom.dsn(MONITOR),
        "LOOM_EXPORTER_STATE_DIR": str(folder),
    }


def _assert_one_line(told: Told, code: int, *parts: str) -> None:
    assert (told.returncode, told.stdout) == (code, ""), told
    (line,) = told.stderr.splitlines()
    assert all(part in line for part in parts), line


def _titles(criteria: set[str]) -> set[str]:
    return {DEPLOYMENT.criteria[name].title for name in criteria}


def _suite(told: Told) -> ET.Element:
    suite = ET.fromstring(told.stdout).find("testsuite")
    assert suite is not None
    return suite


def _evidence(told: Told) -> dict[str, list[str]]:
    criteria: list[dict[str, Any]] = json.loads(told.stdout)["criteria"]
    return {each["name"]: [found["text"] for found in each["evidence"]] for each in criteria}

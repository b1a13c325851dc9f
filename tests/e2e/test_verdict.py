"""`verify`, `sign-off` and `report` on deployments of the demo, and where there is nothing to say.

What the commands said while the demos were played is in `tests.e2e.plays`.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from exporter.verdict.machine import SCHEMA
from tests.daemon import command
from tests.e2e.plays import MANUAL, PLAY_SECONDS, with_status
from tests.shipped_queries import DEPLOYMENT
from tests.truth import truth_of
from tests.watching import MONITOR, deploy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from exporter.demo.play import Scenario
    from tests.e2e.demo import Told
    from tests.e2e.plays import Answers, Play
    from tests.loom_database import LoomDatabase

pytestmark = pytest.mark.timeout(PLAY_SECONDS)

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
    titles = ", ".join(each.title for each in DEPLOYMENT.criteria.values() if each.manual)
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
    assert data["schema"] == SCHEMA
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


def test_report_has_before_and_after_in_numbers(
    healthy: Answers, plays: Mapping[Scenario, Play], loom: LoomDatabase
) -> None:
    rows = _section(healthy["markdown"], "Before and after")
    before, after = plays["healthy"].pages[0], plays["healthy"].pages[-1]
    truth = truth_of(loom)  # made of the same seed, and not deployed yet
    assert rows["Users with MFA"] == (
        f"{before.value('loom_mfa_enabled_users', source='flag'):.0f}",
        f"{after.value('loom_mfa_enabled_users', source='flag'):.0f}",
    )
    assert int(rows["Users with MFA"][0]) == sum(map(bool, truth.users.values()))
    for title, metric in (
        ("Resource collections", "loom_resource_collections"),
        ("Collection items", "loom_resource_collection_items"),
    ):
        number = f"{before.value(metric):.0f}"
        assert rows[title] == (number, number)
    assert rows["MFA discrepancies"] == ("14", "0")
    assert rows["Vulnerable functions"] == ("20", "0")


def test_report_says_that_the_new_check_is_faster_as_the_metrics_do(
    healthy: Answers, plays: Mapping[Scenario, Play]
) -> None:
    rows = _section(healthy["markdown"], "Before and after")
    for title, class_name in (
        ("Average MFA query time", "mfa_status"),
        ("Average RLS query time", "resource_library"),
    ):
        before, after = (float(cell.removesuffix(" ms")) for cell in rows[title])
        ratio = (
            plays["healthy"].pages[-1].value("loom_statement_change_ratio", **{"class": class_name})
        )
        assert ratio is not None
        assert after / before == pytest.approx(ratio, rel=0.25)
    before, after = (float(cell.removesuffix(" ms")) for cell in rows["Average MFA query time"])
    assert after < before


def test_report_has_every_criterion_the_first_day_and_who_signed(healthy: Answers) -> None:
    text = healthy["markdown"].stdout
    assert text.startswith(f"# {DEPLOYMENT.title}: GO\n")
    for each in DEPLOYMENT.criteria.values():
        assert f"| ✓ | {each.title} |" in text
    first_day = DEPLOYMENT.first_week[1]
    (answer,) = [line for line in text.splitlines() if f"| 1: {first_day.title}" in line]
    assert answer.startswith("| ✓ |")
    assert 'loom_mfa_discrepancies{source="live"} is 0' in answer
    assert re.search(r"\| — \| 7: .*due \d{4}-", text)
    assert re.search(r"✓ \| Database administrator .*approved by Ada.*seen by Ada", text)
    assert "loom-exporter sign-off security_team --by NAME" in text


def test_report_in_html_says_what_the_one_in_markdown_does(healthy: Answers) -> None:
    page = _Text()
    page.feed(healthy["html"].stdout)
    text = " ".join(" ".join(page.pieces).split())
    assert f"{DEPLOYMENT.title}: GO" in text or "GO" in page.pieces
    for title in (
        *(each.title for each in DEPLOYMENT.criteria.values()),
        *(each.title for each in DEPLOYMENT.tracked),
        *(each.title for each in DEPLOYMENT.first_week.values()),
        *(each.title for each in DEPLOYMENT.sign_offs.values()),
    ):
        assert title in text
    assert "MFA discrepancies 14 0" in text
    assert "Vulnerable functions 20 0" in text
    assert "approved by Ada" in text


# ── published, regression, rollback ──────────────────────────────────────────────────────────────


def test_published_deployment_is_a_no_go_that_names_what_it_hides(published: Answers) -> None:
    text = published["text"]
    assert text.returncode == 1
    head = text.stdout.partition("\n\n")[0]
    assert head.startswith("NO-GO: ")
    for told in (
        "loom_rls_policy_cycle_tables is 2, expected 0",
        'loom_mfa_discrepancies{source="live"} is 2, expected 0',
        "loom_mfa_flag_unset_users is 2, expected 0",
        'loom_security_definer_functions{search_path="unset"} is 17, expected 0',
    ):
        assert f"✗ {told}" in head
    assert '✓ loom_mfa_discrepancies{source="view"} is 0' in text.stdout


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
    failed = {case.get("name") for case in suite if case.find("failure") is not None}
    assert failed == {
        DEPLOYMENT.criteria[name].title for name in with_status(published["json"], "fail")
    }
    assert suite.get("failures") == str(len(failed))
    (recursion,) = [
        failure for failure in suite.iter("failure") if "policy_cycle" in (failure.text or "")
    ]
    assert "loom_rls_policy_cycle_tables is 2" in recursion.get("message", "")


def test_regression_is_a_no_go_that_names_the_class_its_ratio_and_the_interval(
    regression: Answers,
) -> None:
    text = regression["text"]
    assert text.returncode == 1
    _, _, failure, *blamed = text.stdout.partition("\n\n")[0].splitlines()
    match = re.fullmatch(
        r"  ✗ class mfa_status: ([\d.]+) times the baseline,"
        r" between ([\d.]+) and ([\d.]+) \(\d+ calls\)",
        failure,
    )
    assert match
    ratio, lower, upper = map(float, match.groups())
    assert 1 < lower < ratio < upper
    assert ratio > 3
    assert [line.split()[:2] for line in blamed] == [["Phase", "mfa"]]


def test_regression_is_told_to_machines_too(regression: Answers) -> None:
    told = regression["json"]
    assert with_status(told, "fail") == {"performance"}
    assert [each["phase"] for each in json.loads(told.stdout)["phases_to_blame"]] == ["mfa"]
    (failure,) = _suite(regression["junit"]).iter("failure")
    assert failure.get("message", "").startswith("class mfa_status: ")


def test_rolled_back_phase_is_a_no_go_that_the_demo_tells(plays: Mapping[Scenario, Play]) -> None:
    told = plays["rollback"].output
    assert "\nNO-GO: " in told
    assert re.search(r'✗ loom_deployment_object_present\{phase="mfa",.* is 0, expected 1', told)
    assert re.findall(r"^Phase (\w+) ", told, re.MULTILINE) == ["mfa"]
    assert "\nExit code 1\n" in told


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
    assert 'loom_mfa_discrepancies{source="live"} is 0' in evidence["no_mfa_discrepancies"]
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


def _suite(told: Told) -> ET.Element:
    suite = ET.fromstring(told.stdout).find("testsuite")
    assert suite is not None
    return suite


def _evidence(told: Told) -> dict[str, list[str]]:
    criteria: list[dict[str, Any]] = json.loads(told.stdout)["criteria"]
    return {each["name"]: [found["text"] for found in each["evidence"]] for each in criteria}


def _section(told: Told, heading: str) -> dict[str, tuple[str, ...]]:
    """Return the rows of a table of the report, by their first cell."""
    text = told.stdout.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {first: tuple(cells) for first, *cells in rows}


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def handle_data(self, data: str) -> None:
        self.pieces.append(data.strip())

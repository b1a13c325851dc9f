"""`rules`, `runbooks` and `dashboards`: what people install in Prometheus and Grafana."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.render.alert_rules import render_alert_rules
from tests.support.alert_rules import ALERTING, ALERTS, GROUPS, RUNBOOKS
from tests.support.commands import run

DASHBOARDS = ALERTS.parent / "grafana" / "dashboards"


def _groups(*arguments: str) -> list[dict[str, Any]]:
    done = run("rules", *arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    groups: list[dict[str, Any]] = yaml.safe_load(done.stdout)["groups"]
    return groups


def test_rules_are_the_shipped_ones_in_one_file() -> None:
    assert _groups() == GROUPS


def test_resource_is_that_of_the_operator() -> None:
    resource = yaml.safe_load(run("rules", "--format", "resource").stdout)
    shipped = yaml.safe_load((ALERTS / "prometheusrule.yaml").read_text(encoding="utf-8"))
    assert resource == {**shipped, "spec": {"groups": GROUPS}}


def test_rules_and_dashboards_of_loom_are_left_out_for_another_pack(tmp_path: Path) -> None:
    pack = Path(__file__).parents[1] / "packs" / "shop"
    shipped = yaml.safe_load((ALERTS / "prometheusrule.yaml").read_text(encoding="utf-8"))
    assert _groups("--queries", str(pack)) == shipped["spec"]["groups"]
    assert run("dashboards", str(tmp_path), "--queries", str(pack)).exit_code == 0
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {path.name for path in DASHBOARDS.glob("*.json")}


def test_links_of_alerts_lead_to_pages_that_exist() -> None:
    groups = _groups(
        *("--runbook-url", "https://git.example.org/loom/alerts/runbooks/"),
        *("--dashboard-url", "https://grafana.example.org"),
    )
    annotations = [rule["annotations"] for g in groups for rule in g["rules"] if "alert" in rule]
    uids = {json.loads(path.read_text())["uid"] for path in DASHBOARDS.rglob("*.json")}
    assert len(annotations) == len(ALERTING)
    for each in annotations:
        page = each["runbook_url"].removeprefix("https://git.example.org/loom/alerts/runbooks/")
        assert (RUNBOOKS / page).is_file()
        assert each["dashboard_url"].removeprefix("https://grafana.example.org/d/") in uids


def test_rehearsal_has_the_rules_of_its_hour() -> None:
    files = render_alert_rules(30.0).values()
    assert _groups("--hour", "30s") == [g for text in files for g in yaml.safe_load(text)["groups"]]


def test_victoria_metrics_counts_no_first_value_as_an_increase() -> None:
    text = run("rules", "--for", "victoria-metrics").stdout
    assert not re.search(r"\b(increase|rate|delta)\(", text)
    assert "increase_prometheus(" in text
    assert yaml.safe_load(text.replace("_prometheus(", "("))["groups"] == GROUPS


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--runbook-url", "git.example.org"], "--runbook-url: must be an address"),
        (["--dashboard-url", "https://a.example.org/?org=1"], "--dashboard-url: must be an"),
        (["--hour", "30"], "--hour: a duration is a number and a unit"),
        (["--hour", "2h"], "--hour: an hour of the alert rules lasts between"),
    ],
)
def test_argument_that_cannot_be_used_is_named(arguments: list[str], named: str) -> None:
    done = run("rules", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert named in done.stderr


@pytest.mark.parametrize(
    ("command", "source"), [("runbooks", RUNBOOKS), ("dashboards", DASHBOARDS)]
)
def test_files_are_written_as_they_are_shipped(command: str, source: Path, tmp_path: Path) -> None:
    done = run(command, str(tmp_path / "new" / "folder"))
    written = {path.name: path.read_bytes() for path in (tmp_path / "new" / "folder").iterdir()}
    shipped = [*source.glob("*.md"), *source.rglob("*.json")]
    assert done.exit_code == 0
    assert written == {path.name: path.read_bytes() for path in shipped}
    assert len(done.stdout.splitlines()) == len(written)


def test_folder_that_cannot_be_written_is_named() -> None:
    done = run("dashboards", "/proc/dashboards")
    assert done.exit_code == 2
    assert done.stderr.startswith("loom-exporter: /proc/dashboards: cannot be written: ")


def test_rules_of_victoria_metrics_are_a_resource_of_its_operator() -> None:
    resource = run("rules", "--for", "victoria-metrics", "--format", "resource").stdout
    head = yaml.safe_load(resource)
    assert (head["apiVersion"], head["kind"]) == ("operator.victoriametrics.com/v1beta1", "VMRule")
    assert head["spec"]["groups"]

"""The alert rules and routes, read and tried by Prometheus' and Alertmanager's own tools."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.alert_rules import ALERTS, RULE_FILES, TEST_FILES
from tests.support.observers import HANG_SECONDS
from tests.support.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RELATIVE = {
    "runbook_url": "/alerts/runbooks/LoomDatabaseDown.md",
    "dashboard_url": "/d/loom-exporter",
}
ABSOLUTE = {
    "runbook_url": "https://runbooks.example.com/LoomDatabaseDown.md",
    "dashboard_url": "https://boards.example.com/d/loom-exporter",
}


LONGEST_SECONDS = 5 * HANG_SECONDS
"""promtool computes for up to a minute on a machine of its own."""


def run_tool(name: str, *arguments: object) -> str:
    """Run promtool or amtool among the alerts, and return what it says; fail if it complains."""
    tool = require_tool(name, f"LOOM_TEST_{name.upper()}")
    done = subprocess.run(
        [tool, *map(str, arguments)],
        cwd=ALERTS,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rules_are_rules() -> None:
    run_tool("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_rules_do_what_their_tests_say(path: Path) -> None:
    run_tool("promtool", "test", "rules", path)


def test_examples_of_configuration_are_accepted() -> None:
    run_tool("promtool", "check", "config", "prometheus.yaml")
    run_tool("amtool", "check-config", "alertmanager.yaml")


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=LoomStatementRegression severity=critical phase=mfa", "pager"),
        ("alertname=LoomMfaViewStale severity=warning phase=mfa", "tickets"),
        ("alertname=LoomImprovementNotReached severity=info phase=mfa", "news"),
        ("alertname=LoomWatchdog severity=none phase=all", "heartbeat"),
        ("alertname=SomebodyElses", "tickets"),
    ],
)
def test_alert_reaches_its_receiver(labels: str, receiver: str) -> None:
    run_tool(
        "amtool",
        *("config", "routes", "test", "--config.file=alertmanager.yaml"),
        f"--verify.receivers={receiver}",
        *labels.split(),
    )


@pytest.mark.parametrize("annotations", [RELATIVE, ABSOLUTE], ids=["as shipped", "with addresses"])
def test_links_of_a_message_are_absolute_whichever_rules_it_is_of(
    annotations: Mapping[str, str], tmp_path: Path
) -> None:
    (data := tmp_path / "data.json").write_text(
        json.dumps({"alerts": [{"annotations": annotations}]})
    )
    text = run_tool(
        "amtool",
        *("template", "render", "--template.glob=loom.tmpl", f"--template.data={data}"),
        '--template.text={{ template "loom.text" . }}',
    )
    links = [line.partition(": ")[2] for line in text.splitlines() if ": " in line]
    if annotations is ABSOLUTE:
        assert links == list(ABSOLUTE.values())
    else:
        assert [link.partition("example.org")[2] for link in links] == [
            "/loom-exporter/blob/main/alerts/runbooks/LoomDatabaseDown.md",
            "/d/loom-exporter",
        ]

"""The alert rules and routes, read and tried by Prometheus' and Alertmanager's own tools."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.alert_rules import ALERTS, RULE_FILES, TEST_FILES
from tests.support.observers import HANG_SECONDS
from tests.support.tools import require_tool

if TYPE_CHECKING:
    from pathlib import Path


def run_tool(name: str, *arguments: object) -> str:
    """Run promtool or amtool among the alerts, and return what it says; fail if it complains."""
    tool = require_tool(name, f"LOOM_TEST_{name.upper()}")
    done = subprocess.run(
        [tool, *map(str, arguments)],
        cwd=ALERTS,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
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

"""The demo with all that lies beyond the database: go without a signature, and no-go by errors."""

from __future__ import annotations

import json
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.demo_process import Demo
from tests.support.marks import plays_the_demo
from tests.support.observers import HANG_SECONDS
from tests.support.plays import BEFORE_SECONDS
from tests.support.tools import require_postgres

if TYPE_CHECKING:
    from tests.support.demo_process import Told

pytestmark = plays_the_demo


@pytest.fixture(scope="module")
def verdicts() -> dict[str, tuple[Told, str]]:
    """Return what `verify` says of both deployments, and the page of metrics at that time."""
    require_postgres(18)
    expected = {"healthy": 0, "errors": 1}
    with ThreadPoolExecutor() as threads:
        playing = {each: threads.submit(_play, each, code) for each, code in expected.items()}
        return {scenario: play.result() for scenario, play in playing.items()}


def _play(scenario: str, code: int) -> tuple[Told, str]:
    arguments = ("--scenario", scenario, "--sources", "--fast", "--before", BEFORE_SECONDS)
    with Demo(*arguments) as demo:
        demo.until_told(r"Exit code \d")
        # On a busy machine a healthy deployment does get slower for a while.
        told = demo.operator.ask_until(
            lambda told: told.returncode == code, "verify", "--format", "json"
        )
        demo.note_processes()
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(HANG_SECONDS) == 0, demo.output
        demo.assert_nothing_left()
        return told, demo.output


def _criteria(told: Told) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(told.stdout)["criteria"]}


def test_healthy_deployment_gets_to_go_without_a_signature(
    verdicts: dict[str, tuple[Told, str]],
) -> None:
    told, output = verdicts["healthy"]
    assert json.loads(told.stdout)["verdict"] == "go"
    for name, each in _criteria(told).items():
        assert each["status"] == "pass", name
        assert not each["manual"], name
    assert len(re.findall("suite recorded: .* 0 failed", output)) == 5


def test_raised_error_rate_is_a_no_go_by_the_database_and_by_the_logs(
    verdicts: dict[str, tuple[Told, str]],
) -> None:
    told, output = verdicts["errors"]
    assert json.loads(told.stdout)["verdict"] == "no_go"
    criteria = _criteria(told)
    assert {name for name, each in criteria.items() if each["status"] == "fail"} == {"error_rates"}
    failed = [
        each["text"] for each in criteria["error_rates"]["evidence"] if each["status"] == "fail"
    ]
    assert len(failed) == 2
    assert "rollbacks" in failed[0]
    assert "application" in failed[1]
    assert "one call in ten fails" in output
    assert "× 42703" in output

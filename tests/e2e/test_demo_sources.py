"""The demo with all that lies beyond the database: go without a signature, and no-go by errors."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING, Any

from tests.support.demo_process import Demo
from tests.support.marks import plays_the_demo
from tests.support.observers import HANG_SECONDS
from tests.support.plays import with_status
from tests.support.tools import require_postgres

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.demo.play import Scenario
    from tests.support.demo_process import Told
    from tests.support.plays import Play

BEFORE_SECONDS = "90"
"""Twice as long as in other tests of the demo. Fifteen short hours of a busy machine may be too
uncertain a baseline for a go, and here nothing but a go will do."""


def _criteria(told: Told) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(told.stdout)["criteria"]}


def _go_of_a_healthy_deployment() -> tuple[Told, str]:
    """Return what `verify` said when it was a go, and all that the demo has told."""
    with Demo("--sources", "--fast", "--before", BEFORE_SECONDS) as demo:
        demo.until_told(r"Exit code \d")
        # On a busy machine a healthy deployment does get slower for a while.
        told = demo.operator.ask_until(
            lambda told: told.returncode == 0, "verify", "--format", "json"
        )
        demo.note_processes()
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(HANG_SECONDS) == 0, demo.output
        demo.assert_nothing_left()
        return told, demo.output


@plays_the_demo
def test_healthy_deployment_gets_to_go_without_a_signature() -> None:
    """It is played again if the machine was busier after the deployment than before it."""
    require_postgres(18)
    try:
        told, output = _go_of_a_healthy_deployment()
    except AssertionError:
        told, output = _go_of_a_healthy_deployment()
    assert json.loads(told.stdout)["verdict"] == "go"
    for name, each in _criteria(told).items():
        assert each["status"] == "pass", name
        assert not each["manual"], name
    assert len(re.findall("suite recorded: .* 0 failed", output)) == 5


def test_raised_error_rate_is_a_no_go_by_the_database_and_by_the_logs(
    plays: Mapping[Scenario, Play],
) -> None:
    play = plays["errors"]
    told = play.answers["json"]
    assert (told.returncode, json.loads(told.stdout)["verdict"]) == (1, "no_go")
    criteria = _criteria(told)
    assert with_status(told, "fail") == {"error_rates"}
    failed = [
        each["text"] for each in criteria["error_rates"]["evidence"] if each["status"] == "fail"
    ]
    assert len(failed) == 2
    assert "rollbacks" in failed[0]
    assert "application" in failed[1]
    assert "one call in ten fails" in play.output
    assert "× 42703" in play.output

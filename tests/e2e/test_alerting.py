"""Pages arrive with the facts that on-call needs, and a healthy deployment sends none."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.alerting import Alerting
from tests.support.daemon import Daemon
from tests.support.observers import eventually
from tests.support.plays import REGRESSIONS
from tests.support.watching import MONITOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporter.demo.play import Scenario
    from tests.support.alerting import Notified
    from tests.support.loom_database import LoomDatabase
    from tests.support.plays import Play, Rehearsal

DEFECTS = {
    "LoomFunctionWithoutSearchPath",
    "LoomFunctionExecutableByApi",
    "LoomRelationExposed",
    "LoomRlsPolicyCycle",
    "LoomMfaDiscrepancies",
    "LoomMfaViewMisleads",
    "LoomVerdictNoGo",
    "LoomDailyCheckFailed",
    "LoomCriterionFailed",
}
"""As in alerts/tests/published.yaml, where they are listed by phase; and what the errors of reading
in a circle do to the share of rollbacks, which a criterion compares with the baseline."""


DEPENDS_ON_THE_MACHINE = (
    *("LoomStatement", "LoomImprovementNotReached"),
    *("LoomExporter", "LoomDatabaseDown", "LoomQuery", "LoomBaselineNoisy"),
)
"""Alerts, by how their names begin, of what a machine with too much to do makes slow or uneven."""


def test_exporter_that_is_killed_is_missed_and_speaks_for_all_others(
    monitored: LoomDatabase,
) -> None:
    with (
        Daemon(monitored.dsn(MONITOR)) as daemon,
        Alerting({"loom": daemon.port}) as alerting,
    ):
        hook = alerting.hook
        eventually("it is scraped", lambda: alerting.query("loom_users"))
        eventually("the heart beats", lambda: hook.firing("heartbeat"))
        assert not hook.firing("pager")

        daemon.stop(signal.SIGKILL)
        page = eventually(
            "its own alert arrives",
            lambda: hook.firing("pager", alertname="LoomExporterDown", database="loom"),
        )[0]
        assert page.labels["phase"] == "all"
        assert page.annotations["runbook_url"].endswith("/LoomExporterDown.md")
        assert "rollback" in page.annotations

        others = {"alertname": "LoomRlsDisabled", "severity": "critical", "phase": "rls"}
        alerting.post({**others, "database": "loom"}, {**others, "database": "other"})
        eventually(
            "that of another database arrives",
            lambda: hook.firing("pager", alertname="LoomRlsDisabled", database="other"),
        )
        assert {**others, "database": "loom"} in alerting.inhibited()
        assert not hook.firing("pager", alertname="LoomRlsDisabled", database="loom")
        beats = len(hook.firing("heartbeat"))
        eventually("the heart beats on", lambda: len(hook.firing("heartbeat")) > beats)


@pytest.mark.parametrize("name", REGRESSIONS)
def test_page_for_a_lost_index_arrives_and_says_what_to_do(
    plays: Mapping[Scenario, Play], name: str
) -> None:
    play = plays["regression"]
    assert _of_the_deployment(play.paged_when_deployed) == set()
    page = next(
        each
        for each in play.paged
        if (each.labels["alertname"], each.labels.get("class")) == (name, "mfa_status")
    )
    assert page.labels["phase"] == "mfa"
    assert page.annotations["rollback"].startswith("Low risk.")
    assert page.annotations["runbook_url"] == f"/alerts/runbooks/{name}.md"
    assert "class mfa_status on regression" in page.annotations["description"]


def test_healthy_deployment_pages_nobody_for_as_long(
    rehearsed: Rehearsal, plays: Mapping[Scenario, Play]
) -> None:
    play = plays["healthy"]
    assert _of_the_deployment(play.paged) == set()
    not_slower = 'loom:slower:bool{database="healthy", class="mfa_status", window="1h"} == 0'
    assert any(rehearsed.alerting.query(not_slower, at) for at in play.settled)


def test_published_deployment_fires_the_alerts_of_its_defects_and_no_others(
    rehearsed: Rehearsal, plays: Mapping[Scenario, Play]
) -> None:
    play = plays["published"]
    # On a busy machine scrapes are late, and an alert that waits for some of them is, too.
    firing = {name for at in play.settled for name in rehearsed.alerting.firing("published", at)}
    assert {name for name in firing if not name.startswith(DEPENDS_ON_THE_MACHINE)} == DEFECTS
    criteria = 'ALERTS{alertname="LoomCriterionFailed", alertstate="firing", database="published"}'
    failed = [each for at in play.settled for each in rehearsed.alerting.query(criteria, at)]
    assert {each["criterion"] for each in failed} == {"error_rates"}
    assert _of_the_deployment(play.paged) == {"LoomRlsPolicyCycle", "LoomRelationExposed"}


def _of_the_deployment(notified: Iterable[Notified]) -> set[str]:
    """Return the names of the alerts but for those that depend on the machine."""
    names = {each.labels["alertname"] for each in notified}
    return {name for name in names if not name.startswith(DEPENDS_ON_THE_MACHINE)}

"""Pages arrive with the facts that on-call needs, and a healthy deployment sends none."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING

from tests.support.alerting import Alerting
from tests.support.daemon import Daemon
from tests.support.demo_process import Demo
from tests.support.marks import plays_the_demo
from tests.support.observers import eventually
from tests.support.tools import require_postgres, require_tool
from tests.support.watching import MONITOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.support.alerting import Hook, Notified
    from tests.support.loom_database import LoomDatabase

WITHIN_SECONDS = 300.0
"""The limit of the wait for a page after the index is lost, in hours of 30 s."""

UNDER_LOAD = "under load, after it"
"""The demo's message when its database is deployed."""

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
    *("LoomExporter", "LoomDatabaseDown", "LoomQuery"),
)
"""Alerts, by how their names begin, of what a machine with too much to do makes slow or late."""


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


@plays_the_demo
def test_pages_for_a_lost_index_arrive_and_none_where_all_is_well() -> None:
    with (
        _demo("regression") as (regression, slow_port),
        _demo("healthy") as (healthy, port),
        Alerting({"regression": slow_port, "healthy": port}) as alerting,
    ):
        hook = alerting.hook
        regression.until_told(UNDER_LOAD)
        lost_at = time.monotonic()
        healthy.until_told(UNDER_LOAD)
        deployed_at = time.monotonic()
        assert _of_the_deployment(hook.firing("pager")) == set()

        for name in ("LoomStatementRegressionFast", "LoomStatementRegression"):
            page = _page(hook, name)
            assert page.labels["phase"] == "mfa"
            assert page.annotations["rollback"].startswith("Low risk.")
            assert page.annotations["runbook_url"] == f"/alerts/runbooks/{name}.md"
            assert "class mfa_status on regression" in page.annotations["description"]

        took_seconds = time.monotonic() - lost_at
        eventually(
            "all is well for as long",
            lambda: time.monotonic() - deployed_at > took_seconds,
            within_seconds=WITHIN_SECONDS,
        )
        not_slower = 'loom:slower:bool{database="healthy", class="mfa_status", window="1h"} == 0'
        eventually("the rules find it as fast as before", lambda: alerting.query(not_slower))
        assert _of_the_deployment(hook.firing("pager", database="healthy")) == set()


@plays_the_demo
def test_published_deployment_fires_the_alerts_of_its_defects_and_no_others() -> None:
    with _demo("published") as (demo, port), Alerting({"published": port}) as alerting:
        demo.until_told(UNDER_LOAD)
        eventually("the defects are told", lambda: alerting.firing("published") >= DEFECTS)
        firing = alerting.firing("published")
        assert {name for name in firing if not name.startswith(DEPENDS_ON_THE_MACHINE)} == DEFECTS
        failed = alerting.query('ALERTS{alertname="LoomCriterionFailed", alertstate="firing"}')
        assert {each["criterion"] for each in failed} == {"error_rates"}
        pages = _of_the_deployment(alerting.hook.firing("pager"))
        assert pages == {"LoomRlsPolicyCycle", "LoomRelationExposed"}


@contextlib.contextmanager
def _demo(scenario: str) -> Iterator[tuple[Demo, int]]:
    """Play a scenario, and stay under load; return it, and the port of its exporter."""
    require_postgres(18)
    require_tool("prometheus-alertmanager", "LOOM_TEST_PROMETHEUS_ALERTMANAGER")
    with Demo("--scenario", scenario, "--fast", "--after", f"{2 * WITHIN_SECONDS:g}") as demo:
        yield demo, int(demo.until_told(r"http://127\.0\.0\.1:(\d+)/metrics")[1])


def _page(hook: Hook, alertname: str) -> Notified:
    return eventually(
        f"the page {alertname} arrives",
        lambda: hook.firing(
            "pager", alertname=alertname, database="regression", **{"class": "mfa_status"}
        ),
        within_seconds=WITHIN_SECONDS,
    )[0]


def _of_the_deployment(notified: Iterable[Notified]) -> set[str]:
    """Return the names of the alerts but for those that depend on the machine."""
    names = {each.labels["alertname"] for each in notified}
    return {name for name in names if not name.startswith(DEPENDS_ON_THE_MACHINE)}

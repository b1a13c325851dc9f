"""Every panel of every dashboard, asked of a real Prometheus that has scraped all demos.

The demos are over by then: it is asked what it showed while they had their verdict.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_demo import OBJECTS
from tests.support.dashboards import RED, boards, colour_of, fill, panels
from tests.support.prometheus import Series

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.dashboards import Panel, Target
    from tests.support.plays import Rehearsal
    from tests.support.prometheus import Prometheus

RATE_WINDOW = "15s"
"""Instead of four scrapes, as queries run every two seconds here: a handful of answers."""

PANELS = {panel.name: panel for panel in panels()}

NO_DATA_WHERE_ALL_IS_WELL = {
    "loom-deployment: Phases, Objects missing",
    "loom-deployment: Phases, Failing criteria",
    "loom-deployment: Phases, Slower classes",
    # The demo's PostgreSQL has no pg_cron; that the job is not there is in the column beside it.
    "loom-integrity-security: Refresh job, Last success",
}

DEPENDS_ON_THE_MACHINE = re.compile(
    r"loom-exporter: |loom-query-performance: (Actual|Since|Classes|Oldest|Slow|False)"
    r"|loom-deployment: (Speed|Oldest)"
)
"""What a machine with too much to do may turn red although the deployment is well."""

IS_SLOWER = (
    'loom_criterion_status{database="$database", criterion="performance", status="fail"} == 1'
)
"""What the exporter says where this machine has slowed a deployment down."""

DEFECTS = {
    "loom-deployment: Verdict",
    "loom-deployment: Phases",
    "loom-deployment: Success criteria",
    "loom-deployment: Day by day",
    "loom-integrity-security: MFA discrepancies",
    "loom-integrity-security: Tables in a policy cycle",
    "loom-integrity-security: SECURITY DEFINER functions",
    "loom-integrity-security: SECURITY DEFINER functions that the API may call",
    "loom-integrity-security: Views that the API may read past policies",
}

SLOW_DOWN = {
    "loom-deployment: Verdict",
    "loom-deployment: Phases",
    "loom-deployment: Success criteria",
    "loom-deployment: Speed by class",
    "loom-query-performance: Actual over expected time",
    "loom-query-performance: Since the deployment, and how sure",
}


@dataclass(frozen=True)
class Screen:
    """What is to be seen of one demo."""

    prometheus: Prometheus
    scenario: str
    started_at: float
    at: float
    """Unix time of what is seen."""

    def series(self, panel: Panel, target: Target, **chosen: str) -> list[Series]:
        """Return what a query of a panel shows; `chosen` are values of variables."""
        expression = target.filled(self._variables(chosen))
        if target.is_range:
            return self.prometheus.query_range(expression, self.started_at, self.at)
        return self.prometheus.query(expression, self.at)

    def column(self, panel: str, title: str, **chosen: str) -> list[Series]:
        """Return what a column of a table shows."""
        table = PANELS[panel]
        (target,) = (each for each in table.targets if table.title_of(each) == title)
        return self.series(table, target, **chosen)

    def ask(self, expression: str) -> list[Series]:
        """Return what any other expression of a dashboard gives."""
        return self.prometheus.query(fill(expression, self._variables({})), self.at)

    def red(self) -> set[str]:
        """Return the names of the panels that have a value in red."""
        return {
            panel.name
            for panel in PANELS.values()
            for target in panel.targets
            if not panel.is_only_compared_with(target)
            if any(
                colour_of(each.value, panel.steps(target)) == RED
                for each in self.series(panel, target)
            )
        }

    def _variables(self, chosen: Mapping[str, str]) -> Mapping[str, str]:
        return {
            "job": self.scenario,  # the others end at other times
            "instance": ".+",
            "database": self.scenario,
            "class": ".+",
            "role": ".+",
            "__rate_interval": RATE_WINDOW,
            "__range": f"{self.at - self.started_at:.0f}s",
            **chosen,
        }


@pytest.fixture(scope="module")
def screens(rehearsed: Rehearsal) -> Mapping[str, Screen]:
    """Return what was to be seen of each demo when it had told its story.

    That is at the last time at which Prometheus had its page: a scrape that a busy machine answers
    too late leaves nothing to be seen.
    """
    prometheus = rehearsed.prometheus

    def last_scraped(scenario: str, times: range) -> int:
        up = f'up{{job="{scenario}"}} == 1'
        return next(at for at in reversed(times) if prometheus.query(up, at))

    return {
        scenario: Screen(
            prometheus, scenario, play.started_at, last_scraped(scenario, play.settled)
        )
        for scenario, play in rehearsed.plays.items()
    }


@pytest.fixture(scope="module")
def history(rehearsed: Rehearsal, screens: Mapping[str, Screen]) -> Mapping[str, list[Screen]]:
    """Return what was to be seen of each demo from its verdict on, the latest first."""
    return {
        scenario: [replace(screens[scenario], at=at) for at in reversed(play.settled)]
        for scenario, play in rehearsed.plays.items()
    }


def test_every_query_of_every_panel_has_data(screens: Mapping[str, Screen]) -> None:
    screen = screens["healthy"]
    empty = {
        f"{name}, {panel.title_of(target) if panel.columns else target.ref}"
        for name, panel in PANELS.items()
        for target in panel.targets
        if not screen.series(panel, target)
    }
    assert empty <= NO_DATA_WHERE_ALL_IS_WELL


def test_every_value_is_a_number(screens: Mapping[str, Screen]) -> None:
    for screen in screens.values():
        for name, panel in PANELS.items():
            for target in panel.targets:
                values = [each.value for each in screen.series(panel, target)]
                assert all(map(math.isfinite, values)), (screen.scenario, name, target.ref)


def test_rows_of_tables_can_be_told_apart(screens: Mapping[str, Screen]) -> None:
    for screen in screens.values():
        for name, panel in PANELS.items():
            for target in panel.targets if panel.columns else ():
                for each in screen.series(panel, target):
                    assert each.labels.keys() <= panel.columns.keys(), (name, target.ref)


def test_healthy_deployment_turns_nothing_red(history: Mapping[str, list[Screen]]) -> None:
    def is_all_well(screen: Screen) -> bool:
        red = {name for name in screen.red() if not DEPENDS_ON_THE_MACHINE.match(name)}
        is_slower = screen.ask(IS_SLOWER) or screen.column(
            "loom-deployment: Phases", "Slower classes"
        )
        return red <= (SLOW_DOWN if is_slower else set())

    assert any(map(is_all_well, history["healthy"])), history["healthy"][0].red()


@pytest.mark.parametrize(("scenario", "wrong"), [("published", DEFECTS), ("regression", SLOW_DOWN)])
def test_what_is_wrong_is_red(
    history: Mapping[str, list[Screen]], scenario: str, wrong: set[str]
) -> None:
    assert any(wrong <= screen.red() for screen in history[scenario]), history[scenario][0].red()


def test_newcomer_gets_from_the_verdict_to_phase_class_and_statement(
    screens: Mapping[str, Screen],
) -> None:
    """One look at the phases, one at the classes, and one click on the class."""
    screen = screens["regression"]
    blamed = screen.column("loom-deployment: Phases", "Slower classes")
    assert "mfa" in {each.labels["phase"] for each in blamed}
    classes = screen.column("loom-deployment: Speed by class", "Times the baseline")
    slowest = max(classes, key=lambda each: each.value).labels["class"]
    assert slowest == "mfa_status"
    statements = screen.column(
        "loom-query-performance: Slowest statements", "Mean", **{"class": slowest}
    )
    first = max(statements, key=lambda each: each.value)
    assert "user_mfa" in first.labels["text"]


def test_phases_of_the_published_migrations_are_each_blamed(
    screens: Mapping[str, Screen],
) -> None:
    failing = screens["published"].column("loom-deployment: Phases", "Failing criteria")
    assert {each.labels["phase"] for each in failing} == {"security", "rls", "mfa"}


def test_rolled_back_phase_is_told_from_one_that_was_never_applied(
    screens: Mapping[str, Screen],
) -> None:
    screen = screens["rollback"]
    migrations = screen.column("loom-deployment: Phases", "Migration")
    assert {each.labels["phase"]: each.value for each in migrations} == {
        "security": 1,
        "rls": 1,
        "mfa": 1,
    }
    (missing,) = screen.column("loom-deployment: Phases", "Objects missing")
    assert missing == Series({"phase": "mfa"}, OBJECTS)
    assert "loom-deployment: Phases" in screen.red()


def test_alerts_are_shown_where_they_belong(screens: Mapping[str, Screen]) -> None:
    def firing(scenario: str) -> set[str]:
        shown = screens[scenario].column("loom-deployment: Firing alerts", "Since")
        return {each.labels["alertname"] for each in shown}

    alerts = screens["healthy"].ask('ALERTS{alertstate="firing", database=~"$database|"}')
    assert firing("healthy") == {each.labels["alertname"] for each in alerts}
    assert firing("published") == {"LoomWatchdog", "LoomVerdictNoGo"}


def test_each_phase_is_marked_at_its_time(screens: Mapping[str, Screen]) -> None:
    screen = screens["healthy"]
    for board in boards().values():
        phases, _, alerts = board["annotations"]["list"]
        marks = {each.labels["phase"]: each.value / 1000 for each in screen.ask(phases["expr"])}
        assert marks.keys() == {"security", "rls", "mfa"}
        assert screen.started_at < marks["security"] < marks["rls"] < marks["mfa"] < screen.at
        assert screen.ask(alerts["expr"])


def test_variables_have_something_to_choose_from(screens: Mapping[str, Screen]) -> None:
    for board in boards().values():
        for variable in board["templating"]["list"][1:]:
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert found
            assert {each.labels[found[2]] for each in screens["healthy"].ask(found[1])}

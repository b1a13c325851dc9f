"""The demo: a deployment from beginning to end, seen by a Prometheus that scrapes it meanwhile."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.demo_process import Demo
from tests.support.marks import plays_the_demo
from tests.support.observers import HANG_SECONDS
from tests.support.plays import SCENARIOS
from tests.support.tools import require_postgres

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.demo.play import Scenario
    from tests.support.daemon import Page
    from tests.support.plays import Play

MIGRATIONS = 3
INDEX = "idx_user_mfa_methods_user_status"
OBJECTS = 7
"""The materialized view, two views, three functions and a trigger of the last migration."""


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_demo_ends_well_and_never_has_an_error(
    plays: Mapping[Scenario, Play], scenario: Scenario
) -> None:
    play = plays[scenario]
    assert play.exit_code == 0, play.output
    assert "Everything is stopped and removed." in play.output
    assert len(play.pages) > 10
    good = {"ok", "empty", "absent", "unconfigured", "locked"}
    states = [_states(page) for page in play.pages]
    # Now and then, a machine with several demos is too busy for an answer in time.
    assert {"ok", "absent"} <= set().union(*states) <= {*good, "timeout", "unreachable"}
    assert any(seen <= good for seen in states[-5:])


def _states(page: Page) -> set[str]:
    active = r'^loom_exporter_query_state\{.*state="(\w+)".*\} 1'
    return set(re.findall(active, page.text, re.MULTILINE))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_before_the_deployment(plays: Mapping[Scenario, Play], scenario: Scenario) -> None:
    page = plays[scenario].pages[0]
    assert set(page.series("loom_migration_applied").values()) == {0}
    assert set(page.series("loom_deployment_object_present").values()) == {0}
    assert _discrepancies(page, "live") == 14
    assert _discrepancies(page, "view") is None
    assert page.value("loom_mfa_flag_unset_users") == 2
    assert _functions_without_search_path(page) == 20
    assert page.value("loom_rls_policy_cycle_tables") == 0


def test_healthy_deployment_is_seen_to_arrive(plays: Mapping[Scenario, Play]) -> None:
    pages = plays["healthy"].pages
    applied = [page.total("loom_migration_applied") for page in pages]
    assert applied == sorted(applied, key=lambda count: count or 0)
    page = pages[-1]
    _assert_deployed(page)
    assert _discrepancies(page, "live") == _discrepancies(page, "view") == 0
    assert page.value("loom_mfa_flag_unset_users") == 0
    assert _functions_without_search_path(page) == 0
    assert page.value("loom_rls_policy_cycle_tables") == 0
    assert set(page.series("loom_rls_policy_present").values()) == {1}


def test_published_deployment_shows_its_defects_as_numbers(
    plays: Mapping[Scenario, Play],
) -> None:
    page = plays["published"].pages[-1]
    _assert_deployed(page)
    assert _discrepancies(page, "live") == 2
    assert _discrepancies(page, "view") == 0  # it does not see a flag that is NULL
    assert page.value("loom_mfa_flag_unset_users") == 2
    assert _functions_without_search_path(page) == 17
    assert page.value("loom_rls_policy_cycle_tables") == 2


def test_regression_is_a_healthy_deployment_that_loses_an_index(
    plays: Mapping[Scenario, Play],
) -> None:
    play = plays["regression"]
    assert f"index {INDEX} is dropped" in play.output
    page = play.pages[-1]
    _assert_deployed(page)
    assert _discrepancies(page, "live") == _discrepancies(page, "view") == 0
    assert page.value("loom_index_valid", index=INDEX) is None
    assert plays["healthy"].pages[-1].value("loom_index_valid", index=INDEX) == 1


def test_checks_take_longer_without_the_index(plays: Mapping[Scenario, Play]) -> None:
    told = plays["regression"].output
    (line,) = re.findall(r"^time of one, since the last look .*$", told, re.MULTILINE)
    before, _, index_lost = (float(number) for number in re.findall(r"([\d.]+) ms", line))
    assert index_lost > before


def test_rolled_back_is_not_the_same_as_never_applied(plays: Mapping[Scenario, Play]) -> None:
    play = plays["rollback"]
    # They are there for a few seconds, which a scrape may miss; the demo looks meanwhile.
    looks = re.search(r"^deployed objects present +(\d+) +(\d+) +(\d+)", play.output, re.MULTILINE)
    assert looks, play.output
    assert looks.groups() == ("0", str(OBJECTS), "0")
    applied = [page.total("loom_migration_applied") or 0 for page in play.pages]
    assert applied == sorted(applied)
    assert applied[-1] == MIGRATIONS
    pages = play.pages
    page = pages[-1]
    assert set(page.series("loom_deployment_object_present").values()) == {0}
    assert _discrepancies(page, "view") is None
    assert page.states["mfa_discrepancies_view"] == "absent"


@plays_the_demo
def test_interrupted_demo_leaves_nothing() -> None:
    """By Ctrl-C, or by SIGTERM in the background, under load; and while it makes its database."""
    require_postgres(18)
    with Demo() as at_keyboard, Demo(in_background=True) as by_system, Demo() as impatient:
        impatient.until_told("making the database")
        impatient.note_processes()
        impatient.process.send_signal(signal.SIGINT)
        for demo, number in ((at_keyboard, signal.SIGINT), (by_system, signal.SIGTERM)):
            demo.until_told("under load")
            demo.note_processes()
            demo.process.send_signal(number)
        for demo in (at_keyboard, by_system, impatient):
            assert demo.process.wait(HANG_SECONDS) == 0, demo.output
            assert demo.output.endswith("Everything is stopped and removed.\n")
            assert "Traceback" not in demo.output
            demo.assert_nothing_left()


def _assert_deployed(page: Page) -> None:
    assert page.total("loom_migration_applied") == MIGRATIONS
    assert set(page.series("loom_migration_applied").values()) == {1}
    assert page.total("loom_deployment_object_present") == OBJECTS
    assert set(page.series("loom_deployment_object_present").values()) == {1}


def _discrepancies(page: Page, source: str) -> float | None:
    return page.value("loom_mfa_discrepancies", source=source)


def _functions_without_search_path(page: Page) -> float | None:
    return page.value("loom_security_definer_functions", search_path="unset")

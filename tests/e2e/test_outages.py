"""The database is away, in every way: /metrics answers, tells the truth, and all recovers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from exporter.database.connection import CONNECT_SECONDS
from tests.support.outages import NOTICED_SECONDS, watching_outages
from tests.support.watching import install_grants

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tests.support.loom_database import LoomDatabase
    from tests.support.outages import Outages


def test_server_that_is_down_at_the_start_and_then_killed_five_times(
    new_loom: LoomDatabase,
) -> None:
    install_grants(new_loom)
    server = new_loom.server
    server.stop()
    with watching_outages(new_loom) as outages:
        outages.until_up(False)
        outages.daemon.wait_until_ready()
        states = outages.daemon.page().states
        assert states.pop("suites") == "empty", "which asks no database"
        assert set(states.values()) == {"unreachable", "unconfigured"}
        server.start()
        outages.until_up(True)
        outages.until_all_is_well()
        assert outages.daemon.page().value("loom_users")
        for seconds_away in (0.0, 0.3, 1.0, 2.0, CONNECT_SECONDS):
            server.kill()
            outages.until_up(False)
            time.sleep(seconds_away)
            server.start()
            outages.until_up(True)
            outages.until_all_is_well()
    outages.assert_promises_kept(outages=5)


def test_server_that_is_frozen_for_a_minute(minute_of_frost: Future[Outages]) -> None:
    minute_of_frost.result().assert_promises_kept(outages=1)


@pytest.mark.timing
def test_outage_is_noticed_in_time_and_metrics_is_always_fast(new_loom: LoomDatabase) -> None:
    install_grants(new_loom)
    server = new_loom.server
    with watching_outages(new_loom) as outages:
        outages.until_up(True)
        for fail, seconds, recover in (
            (server.kill, CONNECT_SECONDS, server.start),
            # If a log-in hung besides, and to its end, the next one would be put off.
            (server.freeze, 1.0, server.thaw),
        ):
            fail()
            outages.until_up(False, within_seconds=NOTICED_SECONDS)
            time.sleep(seconds)
            recover()
            outages.until_up(True, within_seconds=NOTICED_SECONDS)
    outages.scraper.assert_always_fast()

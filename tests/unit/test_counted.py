"""What each hour counts: the increase of counters, by one server."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from exporter.catalog import Catalog
from exporter.catalog.query import parse_query
from exporter.clock import Clock
from exporter.collect.store import SnapshotStore
from exporter.learning.counted import CountedHours
from exporter.run_state import State
from tests.support.judging import make_deployment
from tests.support.state import opened, scope

if TYPE_CHECKING:
    from pathlib import Path

HEADER = """/*
description: Transactions.
phase: all
interval: 1m
metrics:
  loom_ends_total: {type: counter, help: Ends., labels: [how], value: ends}
*/
SELECT how, ends
"""
CRITERIA = """
criteria:
  rates:
    title: Rates
    conditions:
      - title: rollbacks
        rate:
          of: {metric: loom_ends_total, labels: {how: rollback}}
          over: {metric: loom_ends_total}
          not_above: baseline
"""
STARTED = datetime(2026, 1, 1, tzinfo=UTC)
FAILED_OVER = STARTED - timedelta(days=30)


class _Counting:
    """Counts what a query says, one look after another."""

    def __init__(self, folder: Path) -> None:
        query = parse_query(folder / "ends.sql", HEADER)
        self._board = SnapshotStore([query], {"ends": 180.0})
        self._hours = CountedHours(Catalog(make_deployment(CRITERIA), (query,)), Clock())

    def say(self, commits: float, rollbacks: float) -> None:
        ends: dict[tuple[str, ...], float] = {("commit",): commits, ("rollback",): rollbacks}
        self._board.publish("ends", State.OK, {"loom_ends_total": ends})
        time.sleep(0.001)  # the clock of a system may be coarse

    def total(self, folder: Path, server: datetime) -> tuple[float, float]:
        with opened(folder / "state.sqlite3") as store:
            self._hours.record(scope(store), self._board, server, None)
        counts = [hour.counts["loom_ends_total"] for hour in self._hours.hours]
        return (
            sum(each.get(("commit",), 0.0) for each in counts),
            sum(each.get(("rollback",), 0.0) for each in counts),
        )


def test_counters_of_another_server_are_not_what_happened_since_the_last_look(
    tmp_path: Path,
) -> None:
    """A standby has counted its own reads for a month when it takes over."""
    counting = _Counting(tmp_path)
    counting.say(1_000, 10)
    assert counting.total(tmp_path, STARTED) == (0, 0)
    counting.say(1_100, 12)
    assert counting.total(tmp_path, STARTED) == (100, 2)
    counting.say(900_000, 0)
    assert counting.total(tmp_path, FAILED_OVER) == (100, 2)
    counting.say(900_040, 5)
    assert counting.total(tmp_path, FAILED_OVER) == (100, 2), "from here on it is compared"
    counting.say(900_050, 6)
    assert counting.total(tmp_path, FAILED_OVER) == (110, 3)


def test_counter_that_was_reset_counts_from_zero(tmp_path: Path) -> None:
    counting = _Counting(tmp_path)
    counting.say(1_000, 10)
    counting.total(tmp_path, STARTED)
    counting.say(30, 1)
    assert counting.total(tmp_path, STARTED) == (30, 1)

"""Tokens: when each last changed, over restarts."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from exporter.state import Observation
from tests.support.state import METRIC, look, opened, see

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from exporter.state import StateStore


def test_token_seen_first_changed_now(path: Path) -> None:
    with opened(path) as store:
        before = time.time()
        assert before <= see(store, "t1") <= time.time()
        assert store.problem is None


def test_token_that_was_there_before_anybody_looked_has_no_time(path: Path) -> None:
    with opened(path) as store:
        assert look(store, "t1") is None
        assert look(store, "t1") is None
        assert look(store, "t1", label="b") is not None, "this one came later"
    with opened(path) as store:
        assert look(store, "t1") is None, "nor after a restart"
        before = time.time()
        changed_at = look(store, "t2")
        assert changed_at is not None
        assert before <= changed_at <= time.time()


def test_nothing_there_is_an_observation_that_outlives_a_restart(path: Path) -> None:
    with opened(path) as store:
        store.observe("loom", METRIC, [])
    with opened(path) as store:
        assert look(store, "t1") is not None


@pytest.mark.parametrize("at", [float("nan"), float("inf")])
def test_time_that_is_no_time_counts_as_unknown(path: Path, at: float) -> None:
    with opened(path) as store:
        before = time.time()
        assert before <= see(store, "t1", at=at) <= time.time()
        assert store.problem is None


def test_token_keeps_its_time_until_it_changes(path: Path) -> None:
    with opened(path) as store:
        first = see(store, "t1")
        assert see(store, "t1") == first
        second = see(store, "t2")
        assert second > first
        assert see(store, "t1") > second, "a token that comes back has changed again"


def test_exact_time_is_believed(path: Path) -> None:
    with opened(path) as store:
        assert see(store, "t1", at=1000.5) == 1000.5
        assert see(store, "t1", at=1000.5) == 1000.5
        assert see(store, "t2", at=2000.0) == 2000.0
        assert see(store, "t2", at=1999.0) == 1999.0, "the server knows better"


def test_exact_time_that_is_forgotten_later_is_kept(path: Path) -> None:
    with opened(path) as store:
        see(store, "t1", at=1000.0)
        assert see(store, "t1") == 1000.0


def test_times_outlive_a_restart(path: Path) -> None:
    with opened(path) as store:
        seen = see(store, "t1")
        see(store, "t1", at=5.0, label="b")
    with opened(path) as store:
        assert see(store, "t1") == seen
        assert see(store, "t1", label="b") == 5.0
        assert see(store, "t2", label="b") > seen


def _observe(store: StateStore, labels: Iterable[int]) -> list[float | None]:
    return store.observe("loom", METRIC, [Observation((str(each),), "t1") for each in labels])


def test_labels_that_are_new_in_each_run_need_no_room_for_ever(path: Path) -> None:
    with opened(path) as store:
        for run in range(8):
            _observe(store, range(1_000 * run, 1_000 * run + 1_000))
    with contextlib.closing(sqlite3.connect(path)) as file:
        rows = file.execute("SELECT count(*), min(labels), max(labels) FROM token").fetchall()
    assert rows == [(2_000, '["6000"]', '["7999"]')]


def test_series_that_comes_back_with_its_token_has_not_changed(path: Path) -> None:
    with opened(path) as store:
        _observe(store, [])
        (first,) = _observe(store, [1])
        _observe(store, range(2, 1_000))
        _observe(store, [])
    with opened(path) as store:
        assert _observe(store, [1]) == [first]


def test_series_are_told_apart_by_database_metric_and_labels(path: Path) -> None:
    with opened(path) as store:
        for number, (database, metric, labels) in enumerate(
            [("a", "m", ("x",)), ("b", "m", ("x",)), ("a", "n", ("x",)), ("a", "m", ("x", ""))]
        ):
            store.observe(database, metric, [Observation(labels, "t", float(number))])
    with opened(path) as store:
        assert store.observe("a", "m", [Observation(("x",), "t"), Observation(("x", ""), "t")]) == [
            0.0,
            3.0,
        ]
        assert store.observe("b", "m", [Observation(("x",), "t")]) == [1.0]
        assert store.observe("a", "n", [Observation(("x",), "t")]) == [2.0]

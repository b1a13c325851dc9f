"""One run: whatever happens, it is published, counted, and asked again not too often."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from exporter.collect.runner import LONGEST_BACKOFF_SECONDS
from exporter.run_state import State
from tests.support.components import assemble
from tests.support.queries import make_query

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.catalog import Query
    from tests.support.components import Parts

QUERY = make_query("things", {"loom_things": {"value": "things"}}, interval="10s")
PASSING_BY_ITSELF = (State.LOCKED, State.LIMITED, State.UNREACHABLE)
FAILING = [s for s in State if s.is_failure and s not in PASSING_BY_ITSELF]


@pytest.fixture
async def parts(tmp_path: Path) -> Parts:
    return assemble(tmp_path, [QUERY])


def _pause(parts: Parts, query: Query = QUERY) -> float:
    """Return the seconds for which the query is not asked."""
    return max(0.0, parts.runner._not_before.get(query.name, 0.0) - time.monotonic())


def _end(parts: Parts, *states: State, query: Query = QUERY) -> float:
    now = time.monotonic()
    with pytest.MonkeyPatch.context() as stopped:  # or a part of the pause might be over
        stopped.setattr(time, "monotonic", lambda: now)
        for state in states:
            parts.runner._back_off(query, state)
        return _pause(parts, query)


async def test_unreachable_database_is_a_state_and_keeps_what_was_known(parts: Parts) -> None:
    parts.snapshots.publish("things", State.OK, {"loom_things": {(): 1.0}})
    await parts.runner.run(QUERY)
    snapshot = parts.snapshots["things"]
    assert snapshot.state is State.UNREACHABLE
    assert snapshot.detail == "not connected: the exporter is starting or stopping"
    assert snapshot.samples == {"loom_things": {(): 1.0}}
    assert parts.database.is_up is False
    assert parts.count("loom_exporter_query_runs_total", query="things") == 1
    assert (
        parts.count("loom_exporter_query_failures_total", query="things", state="unreachable") == 1
    )
    assert parts.count("loom_exporter_query_duration_seconds_count", query="things") == 1


async def test_unreachable_database_is_asked_at_each_interval(parts: Parts) -> None:
    for _ in range(5):
        await parts.runner.run(QUERY)
    assert parts.count("loom_exporter_query_runs_total", query="things") == 5
    assert parts.count("loom_exporter_query_skipped_total", query="things", reason="backoff") == 0


@pytest.mark.parametrize("state", FAILING)
async def test_first_failure_is_tried_again_at_once_and_then_ever_later(
    parts: Parts, state: State
) -> None:
    assert _end(parts, state) == 0
    pauses = [_end(parts, state) for _ in range(4)]
    for pause, doubled in zip(pauses, (20, 40, 80, 160), strict=True):
        assert 0.8 * doubled - 0.1 <= pause <= doubled


async def test_pause_is_never_longer_than_five_minutes_or_the_interval(parts: Parts) -> None:
    pause = _end(parts, *[State.ERROR] * 2000)
    assert 0.8 * LONGEST_BACKOFF_SECONDS - 0.1 <= pause <= LONGEST_BACKOFF_SECONDS


async def test_rare_query_is_not_asked_more_often_for_failing(tmp_path: Path) -> None:
    daily = make_query("daily", {"loom_things": {"value": "things"}}, interval="1d")
    parts = assemble(tmp_path, [daily])
    pause = _end(parts, *[State.ERROR] * 20, query=daily)
    assert 0.8 * 86400 - 1 <= pause <= 86400


@pytest.mark.parametrize(
    "state", [State.OK, State.EMPTY, State.ABSENT, State.UNCONFIGURED, *PASSING_BY_ITSELF]
)
async def test_what_is_no_fault_of_the_query_ends_the_pause(parts: Parts, state: State) -> None:
    assert _end(parts, *[State.ERROR] * 5) > 0
    assert _end(parts, state) == 0
    assert _end(parts, State.ERROR) == 0, "it counts from the beginning"


async def test_query_that_backs_off_is_skipped_and_counted(parts: Parts) -> None:
    _end(parts, State.ERROR, State.ERROR)
    await parts.runner.run(QUERY)
    assert parts.count("loom_exporter_query_runs_total", query="things") == 0
    assert parts.count("loom_exporter_query_skipped_total", query="things", reason="backoff") == 1
    assert parts.snapshots["things"].state is None


async def test_pauses_are_not_alike(parts: Parts) -> None:
    pauses = {round(_end(parts, *[State.ERROR] * 20), 3) for _ in range(10)}
    assert len(pauses) > 1


async def test_fault_of_ours_is_an_error_of_the_query_and_escapes_nowhere(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("exporter.database.database.Database._fail_fast", broken)
    await parts.runner.run(QUERY)
    snapshot = parts.snapshots["things"]
    assert (snapshot.state, snapshot.detail) == (State.ERROR, "ZeroDivisionError")


async def test_every_series_is_there_before_the_first_run(parts: Parts) -> None:
    assert parts.count("loom_exporter_query_runs_total", query="things") == 0
    for reason in ("running", "backoff", "misfire"):
        assert parts.count("loom_exporter_query_skipped_total", query="things", reason=reason) == 0
    for state in State:
        if state.is_failure:
            name = "loom_exporter_query_failures_total"
            assert parts.count(name, query="things", state=state) == 0

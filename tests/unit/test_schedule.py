"""Each query in its own rhythm: spread, never twice at once, and what is left out is counted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from apscheduler.schedulers import SchedulerNotRunningError
from hypothesis import given
from hypothesis import strategies as st

from exporter.collect import schedule
from exporter.collect.schedule import interval_seconds, max_age_seconds
from exporter.database import connection
from exporter.run_state import State
from tests.support.components import assemble
from tests.support.observers import HANG_SECONDS
from tests.support.queries import make_query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from exporter.catalog import Query
    from tests.support.components import Parts

DAY = 86400.0


def _query(name: str = "things", **header: Any) -> Query:
    return make_query(name, {f"loom_{name}": {"value": "things"}}, **header)


@pytest.fixture
async def silent_server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Return how to connect to a server that takes connections and never says a word.

    We wait for it longer than this process is held up, so that a run that begins goes on.
    """
    monkeypatch.setattr(connection, "CONNECT_SECONDS", HANG_SECONDS)
    monkeypatch.setitem(connection.CONNECTION_PARAMETERS, "connect_timeout", round(HANG_SECONDS))
    held: list[asyncio.StreamWriter] = []

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield f"host=127.0.0.1 port={port} sslmode=disable gssencmode=disable"
    server.close()
    for writer in held:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def _started(parts: Parts) -> AsyncIterator[None]:
    """Start the schedule; end it whatever comes, or what goes on would outlive the test."""
    parts.schedule.start()
    try:
        yield
    finally:
        with contextlib.suppress(SchedulerNotRunningError):  # the test was first
            await parts.schedule.stop(0.05)
        await parts.database.close(0.1)


def _half_a_day_ahead() -> str:
    """Return a daily schedule, by which no run is due meanwhile."""
    return f"0 {(datetime.now(UTC) + timedelta(hours=12)).hour} * * *"


def _skipped(parts: Parts, reason: str, query: str = "things") -> float:
    return parts.count("loom_exporter_query_skipped_total", query=query, reason=reason)


@given(st.integers(3, 10**6), st.none() | st.integers(1, 10**6))
def test_interval_is_at_most_what_the_operator_allows(interval: int, longest: int | None) -> None:
    seconds = interval_seconds(_query(interval=f"{interval}s", timeout="2s"), longest)
    assert seconds == max(interval if longest is None else min(interval, longest), 2)


@pytest.mark.parametrize(
    ("schedule", "seconds"),
    [
        ("0 6 * * *", DAY),
        ("0-59/5 * * * *", 300.0),
        ("30 * * * *", 3600.0),
        ("0 6 * * mon", 7 * DAY),
        # The longest gap decides, or values would be dropped in the middle of it.
        ("0 6 * * mon-fri", 3 * DAY),
        ("0 6,7 * * *", 23 * 3600.0),
        ("0 0 30 2 *", 366 * DAY),
    ],
)
def test_interval_of_a_schedule_is_its_longest_gap(schedule: str, seconds: float) -> None:
    query = _query(schedule=schedule)
    assert interval_seconds(query, None) == seconds
    assert interval_seconds(query, 1.0) == seconds, "a schedule says when, not how often"


def test_values_live_for_three_intervals_unless_the_header_says_otherwise() -> None:
    assert max_age_seconds(_query(interval="15s")) == 45.0
    assert max_age_seconds(_query(interval="15s", max_age="1h")) == 3600.0


async def test_first_runs_after_the_start_are_spread_over_the_interval(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    parts = assemble(tmp_path, [_query(name, interval="1m") for name in names])
    before = datetime.now(UTC)
    async with _started(parts):
        jobs = {job.id: job.next_run_time for job in parts.schedule._scheduler.get_jobs()}
        offsets = [(jobs[name] - jobs["a"]).total_seconds() for name in names]
        assert offsets == [0, 15, 30, 45]
        assert (jobs["a"] - before).total_seconds() >= 15


async def test_where_places_are_few_all_queries_come_together(tmp_path: Path) -> None:
    parts = assemble(tmp_path, [_query(name, interval="1m") for name in ("a", "b", "c")])
    parts.database._places.is_crowded = True
    async with _started(parts):
        jobs = {job.id: job.next_run_time for job in parts.schedule._scheduler.get_jobs()}
        assert len({jobs[name] for name in ("a", "b", "c")}) == 1


async def test_every_query_is_tried_at_once_when_the_daemon_starts(tmp_path: Path) -> None:
    queries = [_query("a", interval="1d"), _query("b", schedule=_half_a_day_ahead())]
    parts = assemble(tmp_path, queries)
    async with _started(parts):
        await _until(lambda: parts.snapshots.is_complete)
        for query in ("a", "b"):
            assert parts.snapshots[query].state is State.UNREACHABLE
            assert parts.count("loom_exporter_query_runs_total", query=query) == 1


async def test_query_runs_again_and_again(tmp_path: Path) -> None:
    parts = assemble(tmp_path, [_query(interval="30ms", timeout="5ms")])
    async with _started(parts):
        await _until(lambda: parts.count("loom_exporter_query_runs_total", query="things") > 4)
    runs = parts.count("loom_exporter_query_runs_total", query="things")
    await asyncio.sleep(0.1)
    assert parts.count("loom_exporter_query_runs_total", query="things") == runs


async def test_run_that_still_goes_on_makes_the_next_one_skipped(
    tmp_path: Path, silent_server: str
) -> None:
    parts = assemble(tmp_path, [_query()], conninfo=silent_server)
    await parts.database.open()
    (query,) = parts.catalog.queries
    first = asyncio.create_task(parts.runner.run(query))
    try:
        await _until(lambda: _is_running(parts))
        await parts.runner.run(query)
        assert _skipped(parts, "running") == 1
        assert not first.done()
    finally:
        await parts.database.close(0.1)
    await first
    assert parts.snapshots["things"].state is State.UNREACHABLE
    assert parts.count("loom_exporter_query_runs_total", query="things") == 1
    await parts.runner.run(query)
    assert _skipped(parts, "running") == 1, "it runs again once it has ended"


def _is_running(parts: Parts) -> bool:
    return bool(parts.runner._running)


async def test_scheduler_that_finds_a_run_going_counts_it(
    tmp_path: Path, silent_server: str
) -> None:
    parts = assemble(tmp_path, [_query(interval="30ms", timeout="5ms")], conninfo=silent_server)
    async with _started(parts):
        await _until(lambda: parts.snapshots.is_complete)
        await parts.database.open()
        parts.database.is_up = None  # as if it had not been found away a moment ago
        await _until(lambda: _is_running(parts))
        runs = parts.count("loom_exporter_query_runs_total", query="things")
        await _until(lambda: _skipped(parts, "running") > 2)
        # One of them may have been about to end.
        assert parts.count("loom_exporter_query_runs_total", query="things") <= runs + 1


async def test_run_that_comes_too_late_is_left_out_and_counted(tmp_path: Path) -> None:
    parts = assemble(tmp_path, [_query(schedule=_half_a_day_ahead())])
    async with _started(parts):
        await _until(lambda: parts.snapshots.is_complete)
        parts.schedule._scheduler.modify_job(
            "things", next_run_time=datetime.now(UTC) - timedelta(hours=2)
        )
        await _until(lambda: _skipped(parts, "misfire") == 1)
        assert parts.count("loom_exporter_query_runs_total", query="things") == 1


async def test_runs_that_were_slept_through_become_one(tmp_path: Path) -> None:
    parts = assemble(tmp_path, [_query(interval="1m")])
    async with _started(parts):
        await _until(lambda: parts.snapshots.is_complete)
        parts.schedule._scheduler.modify_job(
            "things", next_run_time=datetime.now(UTC) - timedelta(hours=2)
        )
        await _until(lambda: parts.count("loom_exporter_query_runs_total", query="things") == 2)
        await asyncio.sleep(0.05)
        assert parts.count("loom_exporter_query_runs_total", query="things") == 2
        assert _skipped(parts, "running") == _skipped(parts, "misfire") == 0


async def test_schedule_is_alive_while_it_beats(tmp_path: Path) -> None:
    parts = assemble(tmp_path, [_query()])

    def is_alive() -> bool:
        return parts.schedule.is_alive

    assert is_alive()
    parts.schedule._last_beat -= 60
    assert not is_alive()
    await parts.schedule._beat()
    assert is_alive()
    assert parts.database.answered_at == float("-inf"), "to beat is not to ask the database"


async def test_quiet_database_is_asked_for_a_sign_of_life(tmp_path: Path) -> None:
    parts = assemble(tmp_path, [_query()])
    parts.database.is_up = None
    await parts.database.open()
    ping = asyncio.create_task(parts.schedule._ping())
    try:
        await _until(lambda: parts.database.is_up is False)
    finally:
        await parts.database.close(0.1)
        await ping


@pytest.mark.timing
async def test_stop_ends_what_goes_on_in_time(tmp_path: Path, silent_server: str) -> None:
    parts = assemble(tmp_path, [_query()], conninfo=silent_server)
    await parts.database.open()
    async with _started(parts):
        await _until(lambda: _is_running(parts))
        started = time.monotonic()
        await parts.schedule.stop(0.2)
        await parts.database.close(0.1)
        assert time.monotonic() - started < 2
        assert not _is_running(parts)


async def test_finish_waits_for_what_goes_on_and_lets_nothing_begin(
    tmp_path: Path, silent_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "BEAT_SECONDS", 0.05)
    query = _query(interval="30ms", timeout="5ms")
    parts = assemble(tmp_path, [query], conninfo=silent_server)
    async with _started(parts):
        await _until(lambda: parts.snapshots.is_complete)
        await parts.database.open()
        parts.database.is_up = None  # as if it had not been found away a moment ago
        await _until(lambda: _is_running(parts))
        finish = asyncio.create_task(parts.schedule.finish())
        await asyncio.sleep(0)
        beat = parts.schedule._last_beat
        await _until(lambda: parts.schedule._last_beat > beat)
        assert not finish.done(), "a run still goes on"
        await parts.database.close(0.1)
        await finish
        assert not _is_running(parts)
        runs = parts.count("loom_exporter_query_runs_total", query="things")
        await asyncio.sleep(0.1)
        assert parts.count("loom_exporter_query_runs_total", query="things") == runs


async def test_clock_that_is_set_back_does_not_stop_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "BEAT_SECONDS", 0.05)
    parts = assemble(tmp_path, [_query(interval="100ms", timeout="5ms")])
    async with _started(parts):
        await _until(lambda: parts.snapshots.is_complete)
        # What a clock set back by an hour leaves behind: runs that are due in an hour.
        for job in parts.schedule._scheduler.get_jobs():
            job.modify(next_run_time=datetime.now(UTC) + timedelta(hours=1))
        runs = parts.count("loom_exporter_query_runs_total", query="things")
        real = time.time
        monkeypatch.setattr("exporter.collect.schedule.time.time", lambda: real() - 3600)
        await _until(
            lambda: parts.count("loom_exporter_query_runs_total", query="things") > runs + 2
        )

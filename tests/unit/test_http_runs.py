"""Questions to HTTP sources beside those to the database: published, and never in the way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from apscheduler.schedulers import SchedulerNotRunningError
from prometheus_client.exposition import generate_latest

from exporter.collect.schedule import interval_seconds, max_age_seconds
from exporter.run_state import State
from exporter.settings import Settings
from tests.support.commands import run
from tests.support.components import assemble
from tests.support.http_source import HttpSource, Reply, as_json
from tests.support.observers import HANG_SECONDS
from tests.support.queries import (
    DEPLOYMENT,
    QUERY,
    http_query_text,
    make_folder,
    make_http_query,
    make_query,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from exporter.catalog import AnyQuery
    from tests.support.components import Parts
    from tests.support.http_source import Request

SQL = make_query("stored", {"loom_stored": {"value": "things"}})
HTTP = make_http_query("asked", timeout="50s")
THINGS = as_json([{"kind": "round", "things": 3}])
SECRET = "tok-5hRk/29+x="


def _parts(
    folder: Path, source: HttpSource | None = None, queries: Sequence[AnyQuery] = (SQL, HTTP)
) -> Parts:
    sources = {"things": source.settings()} if source else {}
    settings = Settings.model_validate({"sources": sources})
    return assemble(folder, queries, settings=settings)


async def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def _started(parts: Parts) -> AsyncIterator[None]:
    parts.schedule.start()
    try:
        yield
    finally:
        with contextlib.suppress(SchedulerNotRunningError):  # the test was first
            await parts.schedule.stop(1.0)
        await parts.database.close(0.1)


def test_operator_makes_no_source_be_asked_more_often() -> None:
    query = make_http_query(interval="15m")
    assert interval_seconds(query, 5.0) == 900
    assert max_age_seconds(query) == 2700


async def test_answer_is_published_and_counted(tmp_path: Path) -> None:
    with HttpSource(lambda _: THINGS) as source:
        parts = _parts(tmp_path, source)
        await parts.runner.run(HTTP)
    snapshot = parts.snapshots["asked"]
    assert (snapshot.state, snapshot.samples) == (State.OK, {"loom_things": {("round",): 3.0}})
    assert parts.count("loom_exporter_query_runs_total", query="asked") == 1
    assert (
        'loom_things{database="loom",kind="round"} 3.0'
        in generate_latest(parts.served).decode().splitlines()
    )


@pytest.mark.parametrize(
    ("reply", "state", "keeps"),
    [
        (as_json([]), State.EMPTY, False),
        (Reply(status=429), State.LIMITED, True),
        (Reply(status=503), State.UNREACHABLE, True),
        (Reply(status=500), State.ERROR, False),
        (Reply(status=401), State.DENIED, False),
        (as_json([{"kind": "round", "things": None}]), State.OK, False),
    ],
)
async def test_answer_of_before_is_kept_only_where_it_stays_the_best(
    tmp_path: Path, reply: Reply, state: State, keeps: bool
) -> None:
    replies = iter([THINGS, reply])
    with HttpSource(lambda _: next(replies)) as source:
        parts = _parts(tmp_path, source)
        await parts.runner.run(HTTP)
        await parts.runner.run(HTTP)
    snapshot = parts.snapshots["asked"]
    assert snapshot.state is state, snapshot.detail
    assert snapshot.samples.get("loom_things", {}) == ({("round",): 3.0} if keeps else {})


async def test_unconfigured_source_is_no_failure(tmp_path: Path) -> None:
    parts = _parts(tmp_path)
    await parts.runner.run(HTTP)
    assert parts.snapshots["asked"].state is State.UNCONFIGURED
    for state in (state for state in State if state.is_failure):
        name = "loom_exporter_query_failures_total"
        assert parts.count(name, query="asked", state=state) == 0


async def test_sources_are_asked_after_the_database_and_the_verdict(tmp_path: Path) -> None:
    seen: list[State | None] = []

    def answer(_: Request) -> Reply:
        seen.append(parts.snapshots["verdict"].state)
        return THINGS

    with HttpSource(answer) as source:
        parts = _parts(tmp_path, source)
        async with _started(parts):
            await _until(lambda: parts.snapshots["asked"].state)
    assert seen
    assert None not in seen


async def test_source_that_hangs_delays_neither_readiness_nor_sql_nor_the_end(
    tmp_path: Path,
) -> None:
    with HttpSource(lambda _: None) as source:
        hanging = [make_http_query(f"asked_{number}", timeout="50s") for number in range(4)]
        stored = make_query("often", {"loom_often": {"value": "a"}}, interval="50ms", timeout="5ms")
        parts = _parts(tmp_path, source, queries=[stored, *hanging])
        async with _started(parts):
            await _until(lambda: parts.snapshots.is_complete and source.requests)
            runs = parts.count("loom_exporter_query_runs_total", query="often")
            await _until(
                lambda: parts.count("loom_exporter_query_runs_total", query="often") > runs + 2
            )
            assert parts.snapshots["asked_0"].state is None
            started = time.monotonic()
            await parts.schedule.stop(HANG_SECONDS)
            assert time.monotonic() - started < 30, "the source hangs for longer"
            assert not parts.runner._running


async def test_queries_can_be_replaced_while_a_source_hangs(tmp_path: Path) -> None:
    with HttpSource(lambda _: None) as source:
        parts = _parts(tmp_path, source, queries=[SQL, make_http_query("asked", timeout="50s")])
        parts.schedule.start()
        await _until(lambda: source.requests)
        await asyncio.wait_for(parts.schedule.finish(), 30)
        await parts.runner.drain(HANG_SECONDS)
        await parts.database.close(0.1)


async def test_question_is_told_when_the_deployment_began(tmp_path: Path) -> None:
    query = make_http_query("asked", parameters={"since": "{deployment_start}"})
    with HttpSource(lambda _: THINGS) as source:
        parts = _parts(tmp_path, source, queries=[query])
        await parts.runner.run(query)
        assert parts.snapshots["asked"].state is State.ABSENT
        parts.runner._deployment_start = lambda: 0.0
        await parts.runner.run(query)
    assert [request.parameters for request in source.requests] == [
        {"since": "1970-01-01T00:00:00Z"}
    ]


# ── check --sources ──────────────────────────────────────────────────────────────────────────────


def _configure(
    folder: Path, monkeypatch: pytest.MonkeyPatch, source: HttpSource, **query: Any
) -> None:
    token_file = folder / "token"
    token_file.write_text(SECRET)
    files = {
        "things.sql": QUERY,
        "asked.http.yaml": http_query_text(**query),
        "other.http.yaml": http_query_text(source="other"),
        "deployment.yaml": DEPLOYMENT + "history: {kind: rails}\n",
    }
    monkeypatch.setenv("LOOM_EXPORTER_QUERIES", str(make_folder(folder / "queries", files)))
    sources = {"things": source.settings(token_file=str(token_file))}
    monkeypatch.setenv("LOOM_EXPORTER_SOURCES", json.dumps(sources))


def test_check_asks_each_source_once_and_shows_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpSource(lambda _: THINGS) as source:
        _configure(tmp_path, monkeypatch, source, parameters={"since": "{deployment_start}"})
        done = run("check", "--sources")
        as_data = run("check", "--sources", "--format", "json")
    assert done.exit_code == as_data.exit_code == 0
    first, row, second = done.stdout.splitlines()
    assert first.split() == ["ok", "asked", "1", "row"]
    assert row.split() == ["kind=round", "things=3.0"]
    assert second.split()[:2] == ["unconfigured", "other"]
    assert "about the deployment assume here that it began a day ago" in done.stderr
    assert len(source.requests) == 2
    (asked, other) = json.loads(as_data.stdout)["findings"]
    assert asked["rows"] == [{"kind": "round", "things": 3.0}]
    assert (other["state"], "rows" in other) == ("unconfigured", False)


@pytest.mark.parametrize(
    ("reply", "code", "told"),
    [
        (as_json({"message": f"bad {SECRET}"}, status=400), 2, "error        asked"),
        (Reply(status=401), 2, "denied       asked"),
        (Reply(status=503), 4, "unreachable  asked"),
        (Reply(status=429), 3, "limited      asked"),
        (as_json([]), 0, "empty        asked"),
        (as_json([{"kind": SECRET, "things": 1}]), 0, "kind=***"),
    ],
)
def test_check_says_why_there_are_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: Reply, code: int, told: str
) -> None:
    with HttpSource(lambda _: reply) as source:
        _configure(tmp_path, monkeypatch, source)
        done = run("check", "--sources")
    assert (done.exit_code, told in done.stdout) == (code, True), done
    assert SECRET not in done.stdout + done.stderr

"""/metrics is rendered once for all clients that ask for the same, until something changes."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from typing import TYPE_CHECKING

import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector

from exporter.run_state import State
from exporter.web.collectors import QueryCollector
from exporter.web.exposition import _choose_encoder
from exporter.web.render_cache import KEPT_SECONDS
from tests.support.components import Parts, assemble
from tests.support.queries import make_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from prometheus_client.core import Metric

    from exporter.collect.snapshot import Samples

BY_KIND = {"loom_things": {"labels": ["kind"], "value": "things"}}
THINGS = make_query("things", BY_KIND)
OTHERS = make_query("others", {"loom_others_total": {"type": "counter", "value": "n"}})
OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3"


class _Watcher(Collector):
    """Counts how often the registry is collected, and sees on which thread."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def collect(self) -> Iterator[Metric]:
        self.threads.append(threading.get_ident())
        time.sleep(0.01)  # long enough for others to ask meanwhile
        yield GaugeMetricFamily("watcher", "Whoever looks.", value=len(self.threads))

    def describe(self) -> list[Metric]:
        return []


def _openmetrics(body: str) -> Iterator[Metric]:
    return iter(list(parse_openmetrics(body)))  # type: ignore[no-untyped-call]


@pytest.fixture
async def parts(tmp_path: Path) -> Parts:
    return assemble(tmp_path, [THINGS, OTHERS])


@pytest.fixture
def watcher(parts: Parts) -> _Watcher:
    watcher = _Watcher()
    parts.served.process.register(watcher)
    return watcher


def _publish(parts: Parts, **things: float) -> None:
    samples: Samples = {"loom_things": {(kind,): value for kind, value in things.items()}}
    parts.snapshots.publish("things", State.OK, samples)


async def _body(parts: Parts, accept: str = "", *names: str) -> str:
    return (await parts.exposition.page(accept, "", names)).body.decode()


async def test_text_is_served_unless_openmetrics_is_asked_for(parts: Parts) -> None:
    _publish(parts, round=1)
    for accept in ("", "*/*", "text/plain", "text/html", "nonsense;;"):
        page = await parts.exposition.page(accept, "")
        assert page.content_type.startswith("text/plain; version=0.0.4")
        families = {family.name: family for family in parse_text(page.body.decode())}
        assert families["loom_things"].samples[0].labels == {"database": "loom", "kind": "round"}


async def test_openmetrics_is_served_whole_and_strict(parts: Parts) -> None:
    _publish(parts, round=1)
    parts.snapshots.publish("others", State.OK, {"loom_others_total": {(): 5.0}})
    page = await parts.exposition.page(OPENMETRICS, "")
    assert page.content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert page.body.endswith(b"# EOF\n")
    families = {family.name: family for family in _openmetrics(page.body.decode())}
    assert families["loom_things"].type == "gauge"
    assert families["loom_others"].type == "counter"
    assert families["loom_others"].samples[0].name == "loom_others_total"


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_there_is_no_created_series(parts: Parts, accept: str) -> None:
    await parts.runner.run(THINGS)
    body = await _body(parts, accept)
    assert "loom_exporter_query_runs_total" in body
    assert "_created" not in body


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_gzip_is_the_same_page_and_smaller(parts: Parts, accept: str) -> None:
    plain = await parts.exposition.page(accept, "identity")
    zipped = await parts.exposition.page(accept, "br, gzip;q=0.5")
    assert (plain.encoding, zipped.encoding) == (None, "gzip")
    assert len(zipped.body) < len(plain.body) / 3
    unzipped = gzip.decompress(zipped.body).decode()
    assert [line.split()[:3] for line in unzipped.splitlines() if line.startswith("#")] == [
        line.split()[:3] for line in plain.body.decode().splitlines() if line.startswith("#")
    ]


@pytest.mark.parametrize(
    "name",
    [
        "loom_things",
        "loom_database_up",
        "loom_exporter_query_runs_total",
        "process_cpu_seconds_total",
        "python_info",
    ],
)
async def test_name_filter_leaves_that_family_alone(parts: Parts, name: str) -> None:
    _publish(parts, round=1)
    families = list(parse_text(await _body(parts, "", name)))
    assert [sample.name for family in families for sample in family.samples][:1] == [name]
    assert len(families) == 1


async def test_several_names_are_all_served_and_unknown_ones_are_nothing(parts: Parts) -> None:
    _publish(parts, round=1)
    body = await _body(parts, "", "loom_things", "loom_database_up", "loom_nothing")
    assert {family.name for family in parse_text(body)} == {"loom_things", "loom_database_up"}
    assert await _body(parts, "", "loom_nothing") == ""


@pytest.mark.usefixtures("clock")
async def test_page_is_the_same_object_until_a_snapshot_changes(parts: Parts) -> None:
    _publish(parts, round=1)
    first = await parts.exposition.page("", "")
    assert (await parts.exposition.page("", "")).body is first.body
    assert (await parts.exposition.page("text/plain", "deflate")).body is first.body
    _publish(parts, round=2)
    second = await parts.exposition.page("", "")
    assert b'kind="round"} 2.0' in second.body
    parts.snapshots.fail("things", State.ERROR, "why")
    assert b'kind="round"}' not in (await parts.exposition.page("", "")).body


@pytest.mark.usefixtures("clock")
async def test_each_format_and_encoding_is_kept(parts: Parts, watcher: _Watcher) -> None:
    wanted = [(accept, coding) for accept in ("", OPENMETRICS) for coding in ("", "gzip")]
    pages = [await parts.exposition.page(accept, coding) for accept, coding in wanted]
    assert len(watcher.threads) == 4
    again = [await parts.exposition.page(accept, coding) for accept, coding in wanted]
    assert all(one is other for one, other in zip(pages, again, strict=True))
    assert len(watcher.threads) == 4


async def test_label_set_that_vanished_is_gone_from_the_next_page(parts: Parts) -> None:
    _publish(parts, round=1, square=2)
    assert 'kind="square"' in await _body(parts)
    _publish(parts, round=1)
    body = await _body(parts)
    assert 'kind="round"' in body
    assert 'kind="square"' not in body


async def test_values_go_when_they_are_too_old_although_nothing_else_happens(
    tmp_path: Path, clock: Callable[[float], None]
) -> None:
    max_age = KEPT_SECONDS - 1  # so it is not for its own age that the page is made anew
    things = make_query("things", BY_KIND, max_age=f"{max_age:g}s")
    parts = assemble(tmp_path, [things])
    _publish(parts, round=1)
    assert 'kind="round"' in await _body(parts)
    clock(max_age + 0.5)
    assert 'kind="round"' not in await _body(parts)
    assert parts.snapshots["things"].samples, "the board still has them, and does not show them"


async def test_figures_of_the_process_are_never_much_older_than_a_scrape(
    parts: Parts, watcher: _Watcher, clock: Callable[[float], None]
) -> None:
    await _body(parts)
    clock(KEPT_SECONDS)
    await _body(parts)
    assert len(watcher.threads) == 2


@pytest.mark.usefixtures("clock")
async def test_many_who_ask_at_once_are_served_from_one_rendering(
    parts: Parts, watcher: _Watcher
) -> None:
    pages = await asyncio.gather(*(parts.exposition.page("", "") for _ in range(20)))
    assert len(watcher.threads) == 1
    assert len({id(page.body) for page in pages}) == 1


async def test_page_is_rendered_off_the_event_loop(parts: Parts, watcher: _Watcher) -> None:
    await _body(parts)
    await _body(parts, "", "loom_things", "watcher")
    assert threading.get_ident() not in watcher.threads


@pytest.mark.usefixtures("clock")
async def test_what_changes_during_a_rendering_is_on_the_next_page(parts: Parts) -> None:
    class Publisher(Collector):
        def collect(self) -> Iterator[Metric]:
            if not parts.snapshots["others"].state:
                parts.snapshots.publish("others", State.OK, {"loom_others_total": {(): 5.0}})
            return iter(())

        def describe(self) -> list[Metric]:
            return []

    parts.served.process.register(Publisher())
    first = await parts.exposition.page("", "")
    second = await parts.exposition.page("", "")
    assert second is not first
    assert b"loom_others_total{" in second.body
    assert await parts.exposition.page("", "") is second


async def test_values_are_escaped(parts: Parts) -> None:
    kind = 'a"b\\c\nd{},é'
    parts.snapshots.publish("things", State.OK, {"loom_things": {(kind,): 1.0}})
    for accept, parse in (("", parse_text), (OPENMETRICS, _openmetrics)):
        families = {family.name: family for family in parse(await _body(parts, accept))}
        assert families["loom_things"].samples[0].labels["kind"] == kind


async def test_state_of_each_query_is_one_of_all_states(parts: Parts) -> None:
    for state in (None, *State):
        if state is not None:
            parts.snapshots.fail("things", state, "")
        families = {family.name: family for family in parse_text(await _body(parts))}
        shown = {
            sample.labels["state"]: sample.value
            for sample in families["loom_exporter_query_state"].samples
            if sample.labels["query"] == "things"
        }
        assert set(shown) == set(State)
        assert [name for name, value in shown.items() if value] == ([state] if state else [])


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text; version=abc",
        "application/openmetrics-text; version=77.0.0",
        "text/plain; version=",
        ";;;,=",
        "\x00",
    ],
)
async def test_accept_that_nobody_understands_gets_the_text_format(
    parts: Parts, accept: str
) -> None:
    page = await parts.exposition.page(accept, "")
    assert page.content_type.startswith("text/plain; version=")
    assert "77" not in page.content_type


async def test_what_is_shown_can_be_exchanged(parts: Parts, tmp_path: Path) -> None:
    other = assemble(tmp_path / "other", [OTHERS])
    assert other.snapshots.generation == parts.snapshots.generation
    assert b"loom_things" in (await parts.exposition.page("", "")).body
    parts.exposition.show(other.served)
    page = (await parts.exposition.page("", "")).body
    assert b"loom_things" not in page
    other.snapshots.publish("others", State.OK, {"loom_others_total": {(): 3.0}})
    assert b'loom_others_total{database="loom"} 3.0' in (await parts.exposition.page("", "")).body


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_lines_that_were_kept_make_the_same_page(parts: Parts, accept: str) -> None:
    encode, _ = _choose_encoder(accept)
    for things in ({"round": 1}, {"round": 2}, {"round": 2, "square": 3}, {}, {"round": 1}):
        _publish(parts, **things)
        parts.telemetry.skipped(OTHERS, "running")
        shown = (await _body(parts, accept)).splitlines()
        whole = encode(parts.served).decode().splitlines()
        assert _ours(shown) == _ours(whole)
        # Of the text format the last line is a figure of the process, which changes by itself.
        ends = [lines[-1] == "# EOF" for lines in (shown, whole)]
        assert ends == [accept == OPENMETRICS] * 2


async def test_only_what_a_query_shows_is_encoded_after_its_run(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[QueryCollector] = []
    collect = QueryCollector.collect

    def collected(self: QueryCollector) -> Iterator[Metric]:
        encoded.append(self)
        return collect(self)

    monkeypatch.setattr(QueryCollector, "collect", collected)
    _publish(parts, round=1)
    await _body(parts)
    assert len(encoded) == len(parts.served.queries)
    encoded.clear()
    _publish(parts, round=2)
    assert 'kind="round"} 2.0' in await _body(parts)
    parts.snapshots.fail("others", State.LOCKED, "")
    await _body(parts)
    names = [each.name for each in encoded]
    assert names == ["things", "others"]


async def test_family_of_two_queries_stands_once_with_the_samples_of_both(tmp_path: Path) -> None:
    parts = assemble(tmp_path, [THINGS, make_query("more", BY_KIND)])
    _publish(parts, round=1)
    parts.snapshots.publish("more", State.OK, {"loom_things": {("square",): 2.0}})
    for accept, parse in (("", parse_text), (OPENMETRICS, _openmetrics)):
        families = [
            each for each in parse(await _body(parts, accept)) if each.name == "loom_things"
        ]
        assert [len(family.samples) for family in families] == [2]


def _ours(lines: list[str]) -> list[str]:
    return [line for line in lines if "loom_" in line]

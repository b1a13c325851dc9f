"""What becomes of the rows: values, label sets, and how many of them there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from exporter.database.database import Database
from exporter.run_state import State
from exporter.sources.sql import LONGEST_LABEL, fetch
from tests.support.marks import only_18
from tests.support.probes import LABELLED, USERS
from tests.support.watching import OWNER, look, one_query, patient, watching

if TYPE_CHECKING:
    import psycopg

    from tests.support.loom_database import LoomDatabase

pytestmark = only_18


def test_null_is_no_sample_or_a_failure_but_never_zero(loom: LoomDatabase) -> None:
    text = "SELECT * FROM (VALUES ('a', 1), ('b', NULL)) AS v (kind, value)"
    lax = one_query(text, LABELLED, name="lax")
    strict = one_query(
        text,
        "metrics:\n  strict:"
        " {type: gauge, help: A probe., labels: [kind], value: value, null: error}",
        name="strict",
    )
    label = one_query(
        "SELECT NULL AS kind, 1 AS value",
        "metrics: {label: {type: gauge, help: A probe., labels: [kind], value: value}}",
        name="label",
    )
    seen = look(loom, lax, strict, label, user=OWNER)
    assert seen["lax"].samples == {"probe": {("a",): 1}}
    for name in ("strict", "label"):
        assert (seen[name].state, dict(seen[name].samples)) == (State.ERROR, {})
        assert "is NULL" in seen[name].detail


def test_value_that_is_not_finite_is_no_sample_and_no_zero(loom: LoomDatabase) -> None:
    text = (
        "SELECT * FROM (VALUES ('a', 'NaN'::float8), ('b', extract(epoch FROM"
        " 'infinity'::timestamptz)), ('c', '-Infinity'::numeric), ('d', 0)) AS v (kind, value)"
    )
    seen = look(loom, one_query(text, LABELLED), user=OWNER)["probe"]
    assert (seen.state, seen.samples) == (State.OK, {"probe": {("d",): 0.0}})


async def test_long_texts_are_cut_on_the_server(loom: LoomDatabase) -> None:
    label = one_query(
        "SELECT repeat('é', 1000000) || n AS kind, n AS value FROM generate_series(1, 50) AS n",
        LABELLED,
        name="label",
    )
    token = one_query(
        "SELECT repeat('é', 1000000) || random() AS token, 'x' AS kind",
        "metrics: {probe_timestamp_seconds: {type: change_timestamp, help: A probe.,"
        " labels: [kind], value: token}}",
        name="token",
    )
    async with Database("loom", lambda: loom.dsn(OWNER)) as database:
        read = await fetch(database, patient(label))
        assert {len(kind) for kind, _ in read.rows} == {LONGEST_LABEL + 1}
        first, second = [(await fetch(database, patient(token))).rows for _ in range(2)]
    assert len(first[0][1]) < 100
    assert first != second, "a change of a long token is still seen"
    async with watching(loom.dsn(OWNER), label) as watch:
        seen = await watch.look()
    assert (seen.state, seen.detail) == (
        State.ERROR,
        "probe: a label has more than 1024 characters",
    )


async def test_label_set_that_vanishes_is_gone_the_next_time(
    loom: LoomDatabase, owner: psycopg.Connection[Any]
) -> None:
    owner.execute("INSERT INTO public.probe VALUES ('a', 1), ('b', 2)")
    query = one_query("SELECT kind, value FROM public.probe", LABELLED)
    async with watching(loom.dsn(OWNER), query) as watch:
        assert (await watch.look()).samples == {"probe": {("a",): 1, ("b",): 2}}
        assert 'probe{database="loom",kind="b"} 2.0' in await watch.page()
        owner.execute("DELETE FROM public.probe WHERE kind = 'b'")
        assert (await watch.look()).samples == {"probe": {("a",): 1}}
        assert 'kind="b"' not in await watch.page()


async def test_rows_with_the_same_labels_fail_their_query_and_leave_the_page_whole(
    loom: LoomDatabase, owner: psycopg.Connection[Any]
) -> None:
    owner.execute("INSERT INTO public.probe VALUES ('a', 1)")
    twice = one_query("SELECT kind, value FROM public.probe", LABELLED)
    good = one_query(
        USERS, "metrics: {good: {type: gauge, help: A probe., value: value}}", name="good"
    )
    async with watching(loom.dsn(OWNER), good, twice) as watch:
        assert (await watch.look()).state is State.OK
        owner.execute("INSERT INTO public.probe VALUES ('a', 2)")
        seen = await watch.look()
        samples = _parsed(await watch.page())
    assert (seen.state, dict(seen.samples)) == (State.ERROR, {})
    assert seen.detail == "probe: two rows have the same labels (kind)"
    assert samples["good", ()] == 200
    assert not any(name == "probe" for name, _ in samples)


async def test_two_queries_with_the_same_series_leave_the_page_whole(loom: LoomDatabase) -> None:
    queries = [
        one_query("SELECT 'a' AS kind, 1 AS value", LABELLED, name="first"),
        one_query("SELECT 'a' AS kind, 2 AS value", LABELLED, name="second"),
    ]
    async with watching(loom.dsn(OWNER), *queries) as watch:
        await watch.look("first")
        seen = await watch.look("second")
        samples = _parsed(await watch.page())
    assert seen.state is State.ERROR
    assert seen.detail == "probe: query first has a sample with the same labels"
    assert samples["probe", (("kind", "a"),)] == 1


async def test_ten_thousand_rows_are_capped_and_the_rest_is_counted(loom: LoomDatabase) -> None:
    query = one_query("SELECT n AS kind, n AS value FROM generate_series(1, 10000) AS n", LABELLED)
    of_query = (("query", "probe"),)
    async with watching(loom.dsn(OWNER), query) as watch:
        before = _parsed(await watch.page())
        seen = await watch.look()
        after = _parsed(await watch.page())
        await watch.look()
        later = _parsed(await watch.page())
    assert seen.state is State.OK
    assert query.header.series_limit == len(seen.samples["probe"]) == 200
    assert after["loom_exporter_query_series", of_query] == 200
    dropped = [
        page["loom_exporter_query_series_dropped_total", of_query]
        for page in (before, after, later)
    ]
    assert dropped == [0, 9_800, 19_600]


def test_limit_holds_for_all_metrics_of_a_query_together(loom: LoomDatabase) -> None:
    query = one_query(
        "SELECT n AS kind, n AS value FROM generate_series(1, 30) AS n",
        "series_limit: 50\n"
        "metrics:\n"
        "  one: {type: gauge, help: A probe., labels: [kind], value: value}\n"
        "  two: {type: gauge, help: A probe., labels: [kind], value: value}",
    )
    seen = look(loom, query, user=OWNER)["probe"]
    assert [len(seen.samples[metric]) for metric in ("one", "two")] == [25, 25]


def _parsed(page: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return name and labels (without the database) → value; fails on a page that is not whole."""
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = {key: value for key, value in sample.labels.items() if key != "database"}
            key = (sample.name, tuple(sorted(labels.items())))
            assert key not in samples, key
            samples[key] = sample.value
    return samples

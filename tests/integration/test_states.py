"""How a run ends: each state told apart, on a real server, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.database.grants import CONNECTION_LIMIT
from exporter.database.outcome import State
from exporter.database.transaction import LOCK_TIMEOUT_SECONDS
from tests.watching import (
    MONITOR,
    OWNER,
    catalog_of,
    deploy,
    install_grants,
    look,
    one_query,
    shipped,
    watching,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from exporter.catalog import Query
    from tests.loom_database import LoomDatabase

pytestmark = pytest.mark.parametrize("server", [18], indirect=True)

SLACK_SECONDS = 0.75
"""What a busy machine may add to a timeout of the server."""

USERS = "SELECT count(*) AS value FROM public.users"
LABELLED = "metrics: {probe: {type: gauge, help: A probe., labels: [kind], value: value}}"


@pytest.fixture
def owner(loom: LoomDatabase) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection of the owner, with the table `public.probe` to play with."""
    with loom.connect(OWNER) as connection:
        connection.execute("CREATE TABLE public.probe (kind text, value float8)")
        yield connection


@pytest.fixture
def reader(loom: LoomDatabase) -> Iterator[str]:
    """Return a role that may SELECT everything, under row-level security."""
    with loom.connect() as superuser:
        superuser.execute(
            "DROP ROLE IF EXISTS reader; CREATE ROLE reader;"
            " GRANT USAGE ON SCHEMA public TO reader;"
            " GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"
        )
        loom.allow_login("reader")
        yield "reader"
        superuser.execute("DROP OWNED BY reader; DROP ROLE reader")


# ── denied ───────────────────────────────────────────────────────────────────────────────────────


def test_reader_under_row_level_security_is_denied_where_it_would_have_seen_zero(
    loom: LoomDatabase, reader: str
) -> None:
    with loom.connect(reader) as connection:
        assert connection.execute(USERS.encode()).fetchall() == [(0,)]
    seen = look(loom, one_query(USERS), user=reader)["probe"]
    assert (seen.state, dict(seen.samples)) == (State.DENIED, {})
    assert "row-level security" in seen.detail


def test_missing_privilege_is_denied(loom: LoomDatabase) -> None:
    install_grants(loom)
    seen = look(loom, one_query(USERS))["probe"]
    assert (seen.state, dict(seen.samples)) == (State.DENIED, {})


# ── absent, empty, NULL ──────────────────────────────────────────────────────────────────────────


def test_what_the_header_requires_and_is_missing_is_absent_without_an_error_in_the_log(
    loom: LoomDatabase,
) -> None:
    queries = [
        one_query(
            "SELECT count(*) AS value FROM public.nowhere",
            "requires: {relations: [public.users, public.nowhere]}",
            name="relation",
        ),
        one_query(
            "SELECT count(*) AS value FROM cron.job",
            "requires: {extensions: [pg_cron]}",
            name="extension",
        ),
        one_query("SELECT 1 AS value", 'requires: {server: ">= 99"}', name="server"),
    ]
    began = loom.server.log.stat().st_size
    seen = look(loom, *queries, user=OWNER)
    assert {name: each.state for name, each in seen.items()} == {
        "relation": State.ABSENT,
        "extension": State.ABSENT,
        "server": State.ABSENT,
    }
    assert seen["relation"].detail == "not there, or not populated: public.nowhere"
    assert "ERROR" not in loom.server.log.read_text()[began:]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT count(*) AS value FROM public.nowhere",
        "SELECT count(*) AS value FROM nowhere.nothing",
        "SELECT public.nothing() AS value",
        "SELECT 'nowhere'::regrole::oid::bigint AS value",
    ],
    ids=["relation", "schema", "function", "object"],
)
def test_what_no_header_requires_and_is_missing_is_absent_all_the_same(
    loom: LoomDatabase, text: str
) -> None:
    assert look(loom, one_query(text), user=OWNER)["probe"].state is State.ABSENT


async def test_object_that_goes_away_takes_its_values_with_it(
    loom: LoomDatabase, owner: psycopg.Connection[Any]
) -> None:
    owner.execute("INSERT INTO public.probe VALUES ('a', 1)")
    query = one_query("SELECT value FROM public.probe", "requires: {relations: [public.probe]}")
    async with watching(loom.dsn(OWNER), query) as watch:
        assert (await watch.look()).samples == {"probe": {(): 1}}
        owner.execute("DROP TABLE public.probe")
        gone = await watch.look()
    assert (gone.state, dict(gone.samples)) == (State.ABSENT, {})


def test_no_row_is_empty(loom: LoomDatabase, owner: psycopg.Connection[Any]) -> None:
    seen = look(loom, one_query("SELECT value FROM public.probe"), user=OWNER)["probe"]
    assert (seen.state, dict(seen.samples)) == (State.EMPTY, {})


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


# ── locked, timeout ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("access", ["direct", "definer"])
async def test_locked_table_costs_the_lock_timeout_and_leaves_the_values_with_their_age(
    loom: LoomDatabase, access: str
) -> None:
    query = one_query(USERS, f"access: {access}")
    install_grants(loom, catalog_of(query))
    user = MONITOR if access == "definer" else OWNER
    with loom.connect(OWNER) as migration:
        async with watching(loom.dsn(user), query) as watch:
            before = await watch.look()
            assert before.samples == {"probe": {(): 200}}
            with migration.transaction():
                migration.execute("LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE")
                migration.execute("DELETE FROM public.users WHERE email LIKE 'client%'")
                began = time.monotonic()
                locked = await watch.look()
                took = time.monotonic() - began
            after = await watch.look()
    assert locked.state is State.LOCKED
    assert LOCK_TIMEOUT_SECONDS <= took < LOCK_TIMEOUT_SECONDS + SLACK_SECONDS
    assert locked.samples == before.samples
    assert (locked.last_success_at, locked.expires) == (before.last_success_at, before.expires)
    assert after.state is State.OK
    assert after.samples == {"probe": {(): 40}}


async def test_query_that_is_too_slow_ends_by_its_timeout_and_keeps_its_values(
    loom: LoomDatabase, owner: psycopg.Connection[Any]
) -> None:
    owner.execute("INSERT INTO public.probe VALUES ('pause', 0)")
    query = one_query(
        "SELECT 7 + length(pg_sleep(value)::text) AS value FROM public.probe", "timeout: 200ms"
    )
    async with watching(loom.dsn(OWNER), query) as watch:
        before = await watch.look()
        assert before.samples == {"probe": {(): 7}}
        owner.execute("UPDATE public.probe SET value = 30")
        began = time.monotonic()
        late = await watch.look()
        took = time.monotonic() - began
    assert late.state is State.TIMEOUT
    assert 0.2 <= took < 0.2 + SLACK_SECONDS
    assert (late.samples, late.last_success_at) == (before.samples, before.last_success_at)


async def test_values_that_are_too_old_are_dropped_also_while_the_table_is_locked(
    loom: LoomDatabase,
) -> None:
    query = one_query(USERS, "max_age: 500ms")
    with loom.connect(OWNER) as migration:
        async with watching(loom.dsn(OWNER), query) as watch:
            before = await watch.look()
            assert 'probe{database="loom"} 200.0' in await watch.page()
            with migration.transaction():
                migration.execute("LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE")
                while time.monotonic() <= before.expires:
                    assert (await watch.look()).state is State.LOCKED
                page = await watch.page()
    assert "probe{" not in page
    assert 'loom_exporter_query_state{database="loom",query="probe",state="locked"} 1.0' in page


# ── Series ───────────────────────────────────────────────────────────────────────────────────────


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


# ── Texts that mean harm ─────────────────────────────────────────────────────────────────────────


_ESCAPE = "SELECT 1 AS value) AS q) AS r"
_RETURN = "SELECT 1 FROM (SELECT (SELECT 1"

HARMFUL = {
    "data-modifying CTE": "WITH gone AS (DELETE FROM public.users RETURNING 1)"
    " SELECT count(*) AS value FROM gone",
    "function that writes": "SELECT public.wipe() AS value",
    "row lock": "SELECT count(*) AS value FROM (SELECT FROM public.users FOR UPDATE) AS locked",
    "sequence": "SELECT nextval('public.numbers') AS value",
    "second statement": f"{_ESCAPE}; DELETE FROM public.users; {_RETURN}",
    "commit first": f"{_ESCAPE}; COMMIT; DELETE FROM public.users; {_RETURN}",
    "nothing but commit": "COMMIT",
    "writable first": "SELECT length(set_config('transaction_read_only', 'off', true))"
    " + public.wipe() AS value",
}


@pytest.mark.parametrize("text", HARMFUL.values(), ids=HARMFUL.keys())
def test_text_that_would_write_is_refused_also_for_a_role_that_may(
    loom: LoomDatabase, text: str
) -> None:
    with loom.connect(OWNER) as connection:
        connection.execute(
            "CREATE SEQUENCE public.numbers;"
            "CREATE FUNCTION public.wipe() RETURNS bigint LANGUAGE sql AS"
            " 'WITH gone AS (DELETE FROM public.users RETURNING 1) SELECT count(*) FROM gone'"
        )
        # As if it had got past the check of the file.
        query = replace(one_query("SELECT 1 AS value"), text=text)
        seen = look(loom, query, user=OWNER)["probe"]
        left = connection.execute(
            "SELECT (SELECT count(*) FROM public.users), is_called FROM public.numbers"
        ).fetchall()
    assert (seen.state, dict(seen.samples)) == (State.ERROR, {}), seen.detail
    assert left == [(200, False)]


def test_text_that_would_write_is_refused_by_its_function_too(loom: LoomDatabase) -> None:
    query = one_query("SELECT public.wipe() AS value", "access: definer")
    with loom.connect(OWNER) as connection:
        connection.execute(
            "CREATE FUNCTION public.wipe() RETURNS bigint LANGUAGE sql AS"
            " 'WITH gone AS (DELETE FROM public.users RETURNING 1) SELECT count(*) FROM gone'"
        )
        install_grants(loom, catalog_of(query))
        seen = look(loom, query)["probe"]
        assert connection.execute(USERS.encode()).fetchall() == [(200,)]
    assert (seen.state, dict(seen.samples)) == (State.ERROR, {})


@pytest.mark.parametrize(
    "text",
    [
        "SELECT email AS value FROM public.users WHERE email = 'admin1@loom.example'",
        "SELECT length('admin1@loom.example'::uuid::text) AS value",
        "SELECT length((email || ': 1')::json::text) AS value FROM public.users",
    ],
    ids=["cast of the value", "cast in the text", "json"],
)
async def test_failed_conversion_is_an_error_that_quotes_no_data(
    loom: LoomDatabase, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with watching(loom.dsn(OWNER), one_query(text)) as watch:
        seen = await watch.look()
        page = await watch.page()
    assert seen.state is State.ERROR
    assert "(22" in seen.detail
    logged = "".join(capsys.readouterr())
    assert "query fails" in logged
    for told in (seen.detail, page, logged):
        assert "admin1" not in told
        assert "loom.example" not in told


# ── Nothing is left behind ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (USERS, State.OK),
        ("SELECT 1 AS value WHERE false", State.EMPTY),
        ("SELECT count(*) AS value FROM public.nowhere", State.ABSENT),
        ("SELECT 1 / (random() * 0)::int AS value", State.ERROR),
        ("SELECT length(pg_sleep(30)::text) AS value", State.TIMEOUT),
    ],
    ids=["ok", "empty", "absent", "error", "timeout"],
)
async def test_run_leaves_its_connection_idle_and_usable_however_it_ends(
    loom: LoomDatabase, text: str, state: State
) -> None:
    query = one_query(text, "timeout: 200ms", name="first")
    pid = one_query(
        "SELECT pg_backend_pid() AS value",
        "metrics: {pid: {type: gauge, help: A probe., value: value}}",
        name="pid",
    )
    async with watching(loom.dsn(OWNER), query, pid) as watch:
        await watch.look("pid")
        before = watch.board["pid"].samples
        assert (await watch.look("first")).state is state
        with loom.connect() as superuser:
            sessions = superuser.execute(
                "SELECT pid, state, xact_start FROM pg_stat_activity"
                " WHERE application_name = 'loom-exporter'"
            ).fetchall()
        assert sessions == [(before["pid"][()], "idle", None)]
        assert (await watch.look("pid")).samples == before


async def test_nothing_that_goes_well_counts_as_a_rollback_of_the_database(
    loom: LoomDatabase,
) -> None:
    install_grants(loom)
    with loom.connect() as superuser:
        before = _transactions(superuser)
        async with watching(loom.dsn(MONITOR)) as watch:
            await watch.look()  # before the deployment: some are absent, one is empty
            assert set(watch.states().values()) == {State.OK, State.EMPTY, State.ABSENT}
            deploy(loom, "healthy")
            await watch.look()
        # The counts of a session reach everybody when it ends.
        runs = 2 * len(shipped().queries)
        deadline = time.monotonic() + 10
        while (after := _transactions(superuser))[0] < before[0] + runs:
            assert time.monotonic() < deadline, (before, after)
    assert after[1] == before[1]


def _transactions(superuser: psycopg.Connection[Any]) -> tuple[int, int]:
    (counts,) = superuser.execute(
        "SELECT xact_commit, xact_rollback FROM pg_stat_database WHERE datname = 'loom'"
    ).fetchall()
    return counts[0], counts[1]


def _slow_query(name: str, seconds: float) -> Query:
    return one_query(
        f"SELECT length(pg_sleep({seconds})::text) AS value",
        f"timeout: 5s\nmetrics: {{{name}: {{type: gauge, help: A probe., value: value}}}}",
        name=name,
    )


async def test_no_more_than_two_connections_serve_all_queries(loom: LoomDatabase) -> None:
    queries = [_slow_query(f"probe_{number}", 0.05) for number in range(8)]
    with loom.connect() as superuser:
        seen = set[int]()
        async with watching(loom.dsn(OWNER), *queries) as watch:
            for _ in range(3):
                await watch.look()
                assert set(watch.states().values()) == {State.OK}
                seen |= {
                    pid
                    for (pid,) in superuser.execute(
                        "SELECT pid FROM pg_stat_activity WHERE application_name = 'loom-exporter'"
                    ).fetchall()
                }
    assert len(seen) == 2


async def test_connection_that_is_refused_leaves_the_other_one_at_work(loom: LoomDatabase) -> None:
    install_grants(loom)
    slow, late, later = _slow_query("slow", 1), _slow_query("late", 0), _slow_query("later", 0)
    began = loom.server.log.stat().st_size
    with contextlib.ExitStack() as others:
        # Such as an exporter that is about to be replaced.
        for _ in range(CONNECTION_LIMIT - 1):
            others.enter_context(loom.connect(MONITOR))
        async with watching(loom.dsn(MONITOR), slow, late, later) as watch:
            await watch.look("late")
            runs = [asyncio.create_task(watch.look(name)) for name in ("slow", "late")]
            while "too many connections" not in loom.server.log.read_text()[began:]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.1)  # for the word to reach us
            assert watch.database.is_up
            runs.append(asyncio.create_task(watch.look("later")))
            await asyncio.gather(*runs)
            assert set(watch.states().values()) == {State.OK}

"""The baseline is what was called before the deployment, and what is called after is held to it."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from psycopg import sql

from exporter.catalog.own_metrics import own_metrics
from exporter.comparison.sums import Sums
from exporter.demo.database import FILES
from exporter.learning.capture import CaptureError, capture
from exporter.learning.metrics import BaselineState
from exporter.run_state import State
from exporter.settings import Settings
from exporter.statements.text import identity
from tests.support.marks import only_18
from tests.support.statements import find_extension, reset
from tests.support.watching import MONITOR, deploy, roll_back, watching

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from exporter.baseline.artefact import Baseline, BaselineStatement
    from tests.support.loom_database import LoomDatabase
    from tests.support.watching import Watch

HOUR = 6.0
"""Seconds of an hour of these tests; a window that is longer is left out of a baseline."""

PLACE = ("mfa_status", "authenticated")
METHODS = "SELECT count(*) FROM public.user_mfa_methods WHERE user_id IS NOT NULL"
WITH_MFA = "SELECT count(*) FROM public.users_with_active_mfa"
"""Of a view that the third migration makes anew."""

OLD_OVERVIEW = """
SELECT u.role, count(*) AS users, count(m.user_id) AS with_mfa FROM public.users AS u
LEFT JOIN (SELECT DISTINCT user_id FROM public.user_mfa_methods WHERE status = 'active') AS m
ON m.user_id = u.id GROUP BY u.role
"""
NEW_OVERVIEW = """
SELECT role, count(*) AS users, count(*) FILTER (WHERE mfa_enabled) AS with_mfa
FROM public.user_mfa_status_unified GROUP BY role
"""
"""Replaces the old one, and asks a view that is not there before the third migration."""


class Truth(NamedTuple):
    """What the server itself says of a statement. Times are in seconds."""

    calls: int
    seconds: float
    squared_deviation: float
    rows: int
    blocks: int


def truth(loom: LoomDatabase) -> Mapping[str, Truth]:
    """Return what pg_stat_statements has of the API's statements, by their identity."""
    with loom.connect() as superuser:
        found = superuser.execute(
            sql.SQL(
                "SELECT s.query, s.calls, s.total_exec_time, s.stddev_exec_time, s.rows,"
                " s.shared_blks_hit + s.shared_blks_read FROM {} AS s"
                " JOIN pg_roles AS r ON r.oid = s.userid"
                " WHERE r.rolname = 'authenticated' AND s.toplevel"
            ).format(sql.Identifier(find_extension(superuser).schema, "pg_stat_statements"))
        ).fetchall()
    return {
        name: Truth(calls, total / 1e3, calls * (stddev / 1e3) ** 2, rows, blocks)
        for query, calls, total, stddev, rows, blocks in found
        if (name := identity(query))
    }


def work(loom: LoomDatabase, calls: Mapping[str, int]) -> None:
    """Call each statement so often, as a user of the API."""
    with loom.connect("authenticator") as api, api.transaction():
        api.execute("SET LOCAL ROLE authenticated")
        for statement, times in calls.items():
            for _ in range(times):
                api.execute(statement.encode())


@pytest.fixture
def shop(watched: LoomDatabase) -> LoomDatabase:
    """Return a database that has the view already, and has counted nothing yet."""
    with watched.connect("postgres") as owner:
        owner.execute(
            "CREATE VIEW public.users_with_active_mfa WITH (security_invoker = true) AS"
            " SELECT DISTINCT m.user_id FROM public.user_mfa_methods AS m"
        )
        owner.execute("GRANT SELECT ON public.users_with_active_mfa TO authenticated")
    reset(watched)
    return watched


def upgrade(loom: LoomDatabase) -> None:
    """Deploy, and with it a view in the place of the other one."""
    with loom.connect("postgres") as owner:
        owner.execute("DROP VIEW public.users_with_active_mfa")
    deploy(loom, "healthy")
    _open_views(loom)


def _open_views(loom: LoomDatabase) -> None:
    views = "public.users_with_active_mfa, public.user_mfa_status_unified"
    with loom.connect("postgres") as owner:
        owner.execute(f"GRANT SELECT ON {views} TO authenticated".encode())


def deploy_again(loom: LoomDatabase) -> None:
    """Apply the third migration once more; that it stands in the history is no matter."""
    with loom.connect() as superuser:
        superuser.execute("DELETE FROM supabase_migrations.schema_migrations WHERE name ~ 'mfa'")
    (third,) = (FILES / "migrations" / "healthy").glob("*mfa*.sql")
    loom.run_file(third)
    _open_views(loom)


async def look(watch: Watch) -> Mapping[str, Any]:
    """Look at everything, judge it, and return what that shows."""
    await watch.look()
    seen = await watch.judge()
    assert seen.state is State.OK, seen.detail
    return seen.samples


async def poll(watch: Watch) -> Sums:
    """Poll, and return the sums of the class."""
    seen = await watch.poll()
    assert seen.state is State.OK, seen.detail
    calls, *others = (
        seen.samples.get(name, {}).get(PLACE, 0.0) for name in own_metrics("rule_sums")
    )
    return Sums(int(calls), *others)


async def until_hours_are_over(watch: Watch, hours: int) -> None:
    """Watch until so many hours have passed since this one began."""
    ends = (time.time() // HOUR + hours) * HOUR
    while time.time() < ends:
        await look(watch)
        await poll(watch)
        await asyncio.sleep(0.2)


def condition(samples: Mapping[str, Any]) -> str:
    """Return the state of the baseline that is shown."""
    (state,) = (state for (state,), is_so in samples["loom_baseline_state"].items() if is_so)
    return str(state)


def statement_of(baseline: Baseline, text: str) -> BaselineStatement:
    """Return what a baseline has of a statement of the API."""
    (found,) = (
        each
        for each in baseline.statements
        if each.id == identity(text) and each.role == "authenticated"
    )
    return found


def assert_is_truth(baseline: Baseline, server: Mapping[str, Truth], calls: dict[str, int]) -> None:
    """Hold a baseline to the server's own numbers."""
    for text, times in calls.items():
        found, expected = statement_of(baseline, text), server[identity(text) or ""]
        assert found.calls == expected.calls == times
        assert found.seconds == pytest.approx(expected.seconds, rel=1e-6)
        assert found.rows == expected.rows
        assert found.blocks == expected.blocks
        assert found.variance == pytest.approx(expected.squared_deviation / (times - 1), rel=1e-6)
        assert found.class_name == "mfa_status"
    (of_class,) = (each for each in baseline.classes if (each.class_name, each.role) == PLACE)
    assert of_class.calls == sum(calls.values())


def expected_sums(baseline: Baseline, server: Mapping[str, Truth], old: dict[str, str]) -> Sums:
    """Return the six sums of statements, each held to the mean of its old one, by definition."""
    total = Sums()
    for new, before in old.items():
        known, (calls, seconds, squared, *_) = (
            statement_of(baseline, before),
            server[identity(new) or ""],
        )
        mean = known.seconds / known.calls
        deviation = squared + calls * (seconds / calls - mean) ** 2
        sums = (calls, seconds, calls * mean, calls * mean**2, calls * known.variance, deviation)
        total = total.plus(Sums(*sums))
    return total


async def test_before_and_after_are_what_the_server_counted(
    shop: LoomDatabase, tmp_path: Path
) -> None:
    halves = {METHODS: 7, WITH_MFA: 4, OLD_OVERVIEW: 3}
    state = tmp_path / "state.sqlite3"
    async with watching(shop.dsn(MONITOR), state=state, hour=HOUR) as watch:
        before = await look(watch)
        assert condition(before) == BaselineState.COLLECTING
        await until_hours_are_over(watch, 1)  # in this one, the server may have been started
        await poll(watch)
        work(shop, halves)
        await poll(watch)
        await until_hours_are_over(watch, 1)
        work(shop, halves)
        await poll(watch)
        counted = truth(shop)
        await until_hours_are_over(watch, 3)
        discrepancies = watch.series()["loom_mfa_discrepancies"]
        upgrade(shop)
        reset(shop)
        after = await look(watch)
        baseline = watch.parts.lifecycle.status.baseline
        assert baseline is not None
        assert condition(after) == BaselineState.FROZEN
        assert_is_truth(baseline, counted, {text: 2 * times for text, times in halves.items()})
        assert after["loom_mfa_discrepancies_baseline"] == discrepancies
        assert watch.series()["loom_mfa_discrepancies"] != discrepancies

        assert await poll(watch) == Sums()
        work(shop, {METHODS: 5, WITH_MFA: 6, NEW_OVERVIEW: 2})
        old = {METHODS: METHODS, WITH_MFA: WITH_MFA, NEW_OVERVIEW: OLD_OVERVIEW}
        sums = await poll(watch)
        assert sums == pytest.approx(expected_sums(baseline, truth(shop), old), rel=1e-6)
        roll_back(shop)  # the views are made once more
        deploy_again(shop)
        work(shop, {METHODS: 1, WITH_MFA: 2, NEW_OVERVIEW: 3})
        assert (await poll(watch)).calls == sums.calls + 6
        calls_before = (await poll(watch)).calls
    work(shop, {METHODS: 4})
    async with watching(shop.dsn(MONITOR), state=state, hour=HOUR) as watch:
        await look(watch)
        assert watch.parts.lifecycle.status.baseline == baseline
        assert (await poll(watch)).calls == calls_before + 4


@only_18
async def test_deployment_that_is_there_already_has_no_baseline(deployed: LoomDatabase) -> None:
    async with watching(deployed.dsn(MONITOR), hour=HOUR) as watch:
        assert condition(await look(watch)) == BaselineState.MISSING
        assert await poll(watch) == Sums()


async def _captured(
    watch: Watch, seconds: float | None, act: Callable[[], None] | None = None
) -> Baseline:
    """Capture a baseline; `act` is done after the first poll, and the next one waits for it."""
    acts = [act] if act else []

    def hear(text: str) -> None:
        if text and acts:
            acts.pop()()

    return await capture(Settings(), watch.catalog, watch.database, seconds=seconds, tell=hear)


async def test_captured_baseline_is_what_the_server_counted_meanwhile(shop: LoomDatabase) -> None:
    calls = {METHODS: 8, WITH_MFA: 3}
    async with watching(shop.dsn(MONITOR)) as watch:
        work(shop, {METHODS: 2})
        reset(shop)
        baseline = await _captured(watch, 4.0, partial(work, shop, calls))
    assert baseline.source == "captured"
    assert_is_truth(baseline, truth(shop), calls)
    assert baseline.window.buckets >= 1
    assert {each.hour_log_stddev for each in baseline.classes} == {0.1}, "seconds are no hours"
    assert "loom_mfa_discrepancies" in {gauge.metric for gauge in baseline.gauges}


async def test_baseline_since_the_last_reset_is_all_that_the_server_has(shop: LoomDatabase) -> None:
    calls = {METHODS: 8, WITH_MFA: 3}
    work(shop, calls)
    async with watching(shop.dsn(MONITOR)) as watch:
        baseline = await _captured(watch, None)
    assert baseline.source == "since_reset"
    assert_is_truth(baseline, truth(shop), calls)
    window = baseline.window
    assert window.buckets == 1
    with shop.connect() as superuser:
        extension = sql.Identifier(find_extension(superuser).schema, "pg_stat_statements_info")
        row = superuser.execute(sql.SQL("SELECT stats_reset FROM {}").format(extension)).fetchone()
    assert row is not None
    assert window.start == row[0]


@only_18
async def test_nothing_is_captured_where_nothing_is_called_or_all_is_over(
    shop: LoomDatabase,
) -> None:
    async with watching(shop.dsn(MONITOR)) as watch:
        with pytest.raises(CaptureError, match="no statement was called"):
            await _captured(watch, 0.5)
        work(shop, {METHODS: 1})
        upgrade(shop)
        with pytest.raises(CaptureError, match="has begun"):
            await _captured(watch, None)


@only_18
async def test_deployment_that_begins_during_the_capture_ends_it(shop: LoomDatabase) -> None:
    def work_and_upgrade() -> None:
        work(shop, {METHODS: 1})
        upgrade(shop)

    async with watching(shop.dsn(MONITOR)) as watch:
        with pytest.raises(CaptureError, match="has begun"):
            await _captured(watch, 3.0, work_and_upgrade)

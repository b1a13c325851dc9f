"""Faults after a deployment that the statements show: none of them is said to be as fast as before.

Each is done to a real database under the load of an application, after a baseline of the same load.
The hour of the exporter lasts three seconds.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pytest

from exporter.baseline.codec import dumps
from exporter.baseline.fit import adopted
from exporter.comparison.class_verdict import ClassResult
from exporter.demo.database import DATABASE_NAME
from exporter.deployment.history import write_mark
from exporter.deployment.records import Outcome
from exporter.learning.document import KEY, TOPIC
from tests.support.loom_database import drop_database, make_database
from tests.support.marks import only_18
from tests.support.watching import MONITOR, install_grants, watching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from exporter.baseline.artefact import Baseline
    from exporter.demo.postgres import PostgresServer
    from exporter.state import Scope
    from tests.support.loom_database import LoomDatabase
    from tests.support.watching import Watch

HOUR = 3.0
HOURS_BEFORE = 12
PARTS = 3
"""In which the calls of an hour are made."""

CHECK = "SELECT public.user_has_active_mfa(auth.uid())"
FAILURES = "SELECT public.count_recent_mfa_failures(auth.uid())"
OVERVIEW = """
SELECT u.role, count(*) AS users, count(m.user_id) AS with_mfa FROM public.users AS u
LEFT JOIN (SELECT DISTINCT user_id FROM public.user_mfa_methods WHERE status = 'active') AS m
ON m.user_id = u.id GROUP BY u.role
"""
NEW_OVERVIEW = """
SELECT role, count(*) AS users, count(*) FILTER (WHERE mfa_enabled) AS with_mfa
FROM public.user_mfa_status_unified GROUP BY role
"""
ITEMS = "SELECT id, sort_order FROM public.resource_collection_items LIMIT 20"
COLLECTIONS = "SELECT id, name FROM public.resource_collections LIMIT 5"
PROGRESS = "SELECT file_id FROM public.resource_client_progress LIMIT 5"
ADD = """
INSERT INTO public.mfa_verification_attempts (user_id, method_type, status)
SELECT id, 'totp', 'success' FROM public.users LIMIT 1
"""
SETTINGS = "SELECT user_id, is_enabled FROM public.user_mfa_settings LIMIT 20"
NEW_CHECK = "SELECT public.user_has_active_mfa(auth.uid()), pg_sleep(0.002)"
SESSIONS = "SELECT id, title FROM public.sessions LIMIT 5"

CALLS = {
    CHECK: 60,
    FAILURES: 12,
    OVERVIEW: 12,
    ADD: 18,
    SETTINGS: 12,
    ITEMS: 30,
    COLLECTIONS: 30,
    PROGRESS: 18,
    SESSIONS: 9,
}
"""Calls an hour."""

TABLES = (
    "resource_collection_items",
    "resource_collections",
    "resource_client_progress",
    "user_mfa_settings",
    "mfa_verification_attempts",
)

LANES = 6
"""Faults that are done at the same time, each to a database of its own."""

REPLAYS = 4
"""How often a fault is done at the very most: something else may have held it up before."""

BEFORE, AFTER = 0.002, 0.0005
"""Seconds that a call sleeps.

A deployment makes all calls faster here, so that a busy machine makes none of them slower than it
was: only a fault does.
"""

Calls = dict[str, int]
Classes = Mapping[str, ClassResult]
"""What is said about each class."""
Said = Mapping[str, Classes | BaseException]
"""What is said after each fault, or why nothing is."""


def _prepare(loom: LoomDatabase) -> None:
    """Let the application see all rows, after a pause."""
    with loom.connect() as superuser:
        superuser.execute(
            "CREATE FUNCTION public.pause() RETURNS boolean LANGUAGE plpgsql"
            " AS $f$ BEGIN RETURN true; END $f$"
        )
        for table in TABLES:
            superuser.execute(
                f"DO $$ DECLARE p record; BEGIN FOR p IN SELECT policyname FROM pg_policies"
                f" WHERE tablename = '{table}' LOOP EXECUTE"
                f" format('DROP POLICY %I ON public.{table}', p.policyname); END LOOP; END $$;"
                f" ALTER TABLE public.{table} ENABLE ROW LEVEL SECURITY;"
                f" CREATE POLICY seen ON public.{table} TO authenticated"
                " USING ((SELECT public.pause()))".encode()
            )
        superuser.execute("ALTER POLICY seen ON public.user_mfa_settings USING (false)")
        superuser.execute("ALTER TABLE public.users DISABLE ROW LEVEL SECURITY")
        superuser.execute("ALTER TABLE public.user_mfa_methods DISABLE ROW LEVEL SECURITY")
        superuser.execute("ALTER TABLE public.sessions DISABLE ROW LEVEL SECURITY")
    calls_take(loom, BEFORE)


def calls_take(loom: LoomDatabase, seconds: float) -> None:
    """Let the calls that are counted sleep so long."""
    sleep = f"PERFORM pg_sleep({seconds});"
    checks_do(loom, sleep)
    checks_do(loom, sleep, "count_recent_mfa_failures")
    checks_do(loom, sleep, "pause", "true")


def checks_do(
    loom: LoomDatabase, body: str, name: str = "user_has_active_mfa", returns: str = "NULL"
) -> None:
    """Give a function another body, which is run before it returns."""
    with loom.connect() as superuser:
        found = superuser.execute(
            "SELECT pg_get_function_arguments(oid), pg_get_function_result(oid) FROM pg_proc"
            " WHERE proname = %s",
            [name],
        ).fetchone()
        assert found is not None
        arguments, returned = found
        superuser.execute(
            f"CREATE OR REPLACE FUNCTION public.{name}({arguments}) RETURNS {returned}"
            f" LANGUAGE plpgsql AS $f$ BEGIN {body} RETURN {returns}; END $f$".encode()
        )


def run(text: str) -> Callable[[LoomDatabase], None]:
    """Return what runs SQL as the superuser."""

    def act(loom: LoomDatabase) -> None:
        with loom.connect() as superuser:
            superuser.execute(text.encode())

    return act


def work(loom: LoomDatabase, calls: Mapping[str, int], role: str = "authenticated") -> None:
    """Call each statement so often; those that fail are what they are for an application."""
    user = "authenticator" if role == "authenticated" else None
    with loom.connect(user) as api:
        if user:
            api.execute(f"SET ROLE {role}".encode())
        for statement, times in calls.items():
            for _ in range(times):
                with suppress(psycopg.Error):
                    api.execute(statement.encode())


async def live(watch: Watch, loom: LoomDatabase, hours: int, calls: Mapping[str, int]) -> None:
    """Let some hours go by under this load, polling all the while."""
    some = {statement: count // PARTS for statement, count in calls.items()}
    step = HOUR / PARTS
    for _ in range(hours * PARTS):
        ends = (time.time() // step + 1) * step
        await asyncio.to_thread(work, loom, some)
        await watch.poll()
        await asyncio.sleep(max(ends - time.time(), 0.0))
    # A pause before the last poll would look like an outage: a second is a third of an hour.
    await asyncio.to_thread(work, loom, some)
    await watch.poll()


async def baseline_of(loom: LoomDatabase, folder: Path) -> Baseline:
    """Return a baseline of the application."""
    async with watching(loom.dsn(MONITOR), state=folder / "before.sqlite3", hour=HOUR) as watch:
        await watch.look()
        await watch.poll()
        await watch.judge()
        await live(watch, loom, 2, CALLS)  # in these, the server may have been started
        await watch.judge()
        await live(watch, loom, HOURS_BEFORE + 2, CALLS)
        people = scope_of_shipped(watch)
        await people.store.run(write_mark, people, time.time())
        await watch.look("migrations")
        await watch.judge()
        await watch.judge()
        found = watch.parts.lifecycle.status.baseline
    assert found is not None
    return found


def scope_of_shipped(watch: Watch) -> Scope:
    """Return the scope of what people say."""
    return watch.parts.poller._people


class Fault(NamedTuple):
    """What is done to the database, what is called then, and what is said of which class."""

    act: Callable[[LoomDatabase], None]
    class_name: str
    reason: str
    outcome: Outcome = Outcome.INCONCLUSIVE
    calls: Mapping[str, int] = {}
    hours: int = 2
    beside: Callable[[LoomDatabase], None] | None = None
    """What somebody else does at the same time."""


def nothing(loom: LoomDatabase) -> None:
    """Leave all as it is."""


def checks(body: str, name: str = "user_has_active_mfa") -> Callable[[LoomDatabase], None]:
    """Return what gives a function another body."""
    return partial(checks_do, body=body, name=name)


def new_overview(loom: LoomDatabase) -> None:
    """Make the view that the new overview asks."""
    run(
        "CREATE VIEW public.user_mfa_status_unified AS SELECT role, mfa_enabled FROM public.users;"
        " GRANT SELECT ON public.user_mfa_status_unified TO authenticated"
    )(loom)


def slower_failures(loom: LoomDatabase) -> None:
    """Make one function eight times slower, and another one faster."""
    checks_do(loom, "PERFORM pg_sleep(0.016);", "count_recent_mfa_failures")
    checks_do(loom, "PERFORM pg_sleep(0.001);")


def slow_checks_are_killed(loom: LoomDatabase) -> None:
    """Let most checks take longer than a call may."""
    checks_do(loom, "PERFORM pg_sleep(CASE WHEN random() < 0.8 THEN 1 ELSE 0.001 END);")
    run(f"ALTER ROLE authenticator IN DATABASE {loom.name} SET statement_timeout = '100ms'")(loom)


def ask_at_psql(loom: LoomDatabase) -> None:
    """Ask what takes three seconds, of a table of the class, as the superuser."""
    with loom.connect() as superuser:
        superuser.execute("SELECT count(*), pg_sleep(3) FROM public.user_mfa_settings")


FAULTS = {
    "a policy compares the wrong column": Fault(
        run("ALTER POLICY seen ON public.resource_collection_items USING (id = auth.uid())"),
        "collection_items",
        "results are missing: 0.00 rows a call, 20.00 in the baseline",
        Outcome.FAIL,
    ),
    "one statement of a class finds nothing": Fault(
        run("ALTER POLICY seen ON public.resource_client_progress USING (false)"),
        "resource_library",
        "results are missing of .*public.resource_client_progress.*: 0.00 rows a call, 5.00 in",
        hours=4,
    ),
    "all progress is deleted": Fault(
        run(
            "TRUNCATE public.resource_client_progress; TRUNCATE public.resource_collections CASCADE"
        ),
        "resource_library",
        "results are missing: 0.00 rows a call, 5.00 in the baseline",
        Outcome.FAIL,
    ),
    "a policy shows what was hidden": Fault(
        run("ALTER POLICY seen ON public.user_mfa_settings USING (true)"),
        "mfa_status",
        "rows a call",
    ),
    "the function of the login raises for most": Fault(
        checks("IF random() < 0.8 THEN RAISE 'no'; END IF; PERFORM pg_sleep(0.001);"),
        "mfa_status",
        "user_has_active_mfa.* was called .* calls are usual .*: calls that fail are not counted",
    ),
    "a timeout kills the checks that would take long": Fault(
        slow_checks_are_killed,
        "mfa_status",
        "calls that fail are not counted",
    ),
    "one call has become ten": Fault(
        nothing,
        "collection_items",
        "as often as in these hours of the baseline: one call may have become many",
        calls={ITEMS: 300},
    ),
    "one call has become ten behind a replacement": Fault(
        new_overview,
        "mfa_status",
        "as often as the statement that it replaces was",
        calls={OVERVIEW: 0, NEW_OVERVIEW: 120},
    ),
    "nobody may add any more": Fault(
        run("REVOKE INSERT ON public.mfa_verification_attempts FROM authenticated"),
        "mfa_status",
        "was called 0 times, where .* calls that fail are not counted",
    ),
    "nobody may read progress any more": Fault(
        run("REVOKE SELECT ON public.resource_client_progress FROM authenticated"),
        "resource_library",
        "was called 0 times, where .* calls that fail are not counted",
    ),
    "a statement of no class takes 80 ms more": Fault(
        run(
            "ALTER TABLE public.sessions RENAME TO sessions_then;"
            " CREATE VIEW public.sessions AS SELECT s.* FROM public.sessions_then AS s,"
            " LATERAL pg_sleep(0.08 + 0 * length(s.title)) LIMIT 1;"
            " GRANT SELECT ON public.sessions TO authenticated"
        ),
        "other",
        "surely more than 2 times in single statements: .*public.sessions",
    ),
    "a few calls take twenty times as long": Fault(
        checks("PERFORM pg_sleep(CASE WHEN random() < 0.04 THEN 0.03 ELSE 0.0005 END);"),
        "mfa_status",
        "a few of them take far longer",
        hours=4,
    ),
    "one statement is slower within its class": Fault(
        slower_failures,
        "mfa_status",
        "single statements: .*count_recent_mfa_failures",
        Outcome.FAIL,
        hours=4,
    ),
    "a new statement adds to the time": Fault(
        nothing,
        "mfa_status",
        "together with statements that have no baseline|a baseline is known for",
        calls={NEW_CHECK: 27},
    ),
    "the application is down": Fault(
        nothing,
        "collection_items",
        "no calls of statements with a baseline, where",
        calls={ITEMS: 0},
    ),
    "the checks are slower": Fault(
        checks("PERFORM pg_sleep(0.02);"),
        "mfa_status",
        "times the baseline, surely",
        Outcome.FAIL,
        hours=4,
    ),
    "nothing": Fault(
        nothing,
        "mfa_status",
        "times the baseline, surely below",
        Outcome.PASS,
        hours=4,
    ),
    "a person at a psql takes no pass away": Fault(
        nothing,
        "mfa_status",
        "",
        Outcome.PASS,
        hours=4,
        beside=ask_at_psql,
    ),
}


async def after(loom: LoomDatabase, folder: Path, baseline: Baseline, fault: Fault) -> Classes:
    """Return what is said about the classes some hours after a deployment with this fault."""
    async with watching(loom.dsn(MONITOR), state=folder / "after.sqlite3", hour=HOUR) as watch:
        await watch.look()
        await watch.poll()
        facts = await watch.parts.verdict._facts.read()
        people = scope_of_shipped(watch)
        document = {KEY: dumps(adopted(baseline, facts)).encode()}
        await people.store.run(people.store.save, people.of(facts.identity), TOPIC, document)
        await asyncio.to_thread(calls_take, loom, AFTER)
        await asyncio.to_thread(fault.act, loom)
        at = time.time() - HOUR  # the warm-up is over
        await people.store.run(write_mark, people, at)
        await watch.judge()
        await watch.poll()
        if fault.beside:
            await asyncio.to_thread(fault.beside, loom)
        await live(watch, loom, fault.hours, {**CALLS, **fault.calls})
        found: Classes = await people.store.run(watch.parts.lifecycle.results)
        return found


async def after_all(server: PostgresServer, folder: Path) -> Said:
    """Return what is said after each fault; a few are done at a time, as most of it is waiting."""
    alone = asyncio.Lock()  # roles and passwords are the server's: two cannot set them at once

    async def make(name: str) -> LoomDatabase:
        async with alone:
            return await asyncio.to_thread(_make, server, name)

    async def play(number: int, fault: Fault, lanes: asyncio.Semaphore) -> Classes:
        async with lanes:
            loom = await make(f"loom_{number}")
            (own := folder / str(number)).mkdir()
            return await after(loom, own, baseline, fault)

    baseline = await baseline_of(await make(DATABASE_NAME), folder)
    numbers = iter(range(REPLAYS * len(FAULTS)))
    said: dict[str, Classes | BaseException] = {}
    left = list(FAULTS)
    for turn in range(REPLAYS):
        lanes = asyncio.Semaphore(1 if turn else LANES)  # again means by itself
        playing = [play(next(numbers), FAULTS[name], lanes) for name in left]
        found = await asyncio.gather(*playing, return_exceptions=True)
        said.update(zip(left, found, strict=True))
        left = [name for name in left if not _is_told(FAULTS[name], said[name])]
    return said


def _is_told(fault: Fault, classes: Classes | BaseException) -> bool:
    if isinstance(classes, BaseException):
        return False
    found = classes[fault.class_name]
    return found.outcome is fault.outcome and bool(re.search(fault.reason, found.reason))


def _make(server: PostgresServer, name: str) -> LoomDatabase:
    loom = make_database(server, name)
    install_grants(loom)
    _prepare(loom)
    return loom


@pytest.fixture(scope="module")
def said(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Said]:
    """Return what is said after each fault."""
    yield asyncio.run(after_all(server, tmp_path_factory.mktemp("faults")))
    with psycopg.connect(server.dsn(), autocommit=True) as superuser:
        for number in range(REPLAYS * len(FAULTS)):
            drop_database(superuser, f"loom_{number}")


@only_18
@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_named(said: Said, name: str) -> None:
    fault, classes = FAULTS[name], said[name]
    if isinstance(classes, BaseException):
        raise classes
    found = classes[fault.class_name]
    assert re.search(fault.reason, found.reason), f"{found.outcome}: {found.reason} ({found.facts})"
    assert found.outcome is fault.outcome
    if fault.beside:
        assert found.whole.calls.coverage == 1.0

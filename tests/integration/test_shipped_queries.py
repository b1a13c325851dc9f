"""What the shipped queries say of a database that goes through its deployment.

They run as the monitoring role. Each number is held against one that was made in another way: by
asking the database as a superuser, by trying what the number is about, or by knowing the seed.
"""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import psycopg
import pytest
from psycopg import sql

from exporter.database.outcome import State
from tests.loom_database import LoomDatabase, make_database, make_template
from tests.tools import require_postgres
from tests.watching import (
    MONITOR,
    OWNER,
    deploy,
    install_grants,
    look,
    roll_back,
    shipped,
    watching,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from exporter.demo.server import PostgresServer
    from tests.conftest import NewServer
    from tests.watching import Series

Stage = Literal["before", "healthy", "rolled back", "published"]
STAGES: tuple[Stage, ...] = ("before", "healthy", "rolled back", "published")
DEPLOYED = ("healthy", "rolled back", "published")
WITH_VIEW = ("healthy", "published")

DEPLOYMENT = shipped().deployment
MATERIALIZED_VIEW = "user_mfa_status_unified"

only_18 = pytest.mark.parametrize("server", [18], indirect=True)


@dataclass(frozen=True)
class Seen:
    """One stage: what the exporter saw of it, and what anybody could see of it just before."""

    loom: LoomDatabase
    states: Mapping[str, State | None]
    series: Mapping[str, Series]
    log: str
    before: Truth
    after: Truth


@dataclass(frozen=True)
class Truth:
    """Facts by independent means, as a superuser."""

    users: dict[Any, bool | None]
    with_method: set[Any]
    methods: Series
    attempts: list[tuple[str, datetime]]
    events: list[tuple[str, str, datetime | None]]
    policies: Series
    policy_commands: set[tuple[str, str, str]]
    definer_callable: Series
    readable: Series
    unreadable_tables: set[str]
    sizes: Series
    database_size: float
    commits: float
    indexes: set[tuple[str, ...]]
    row_security: Series
    now: datetime


@pytest.fixture(scope="module")
def journey(server: PostgresServer) -> dict[Stage, Seen]:
    """Take a database through its deployment and back, another through the published one."""
    seen: dict[Stage, Seen] = {}
    loom = make_database(server)
    install_grants(loom)
    seen["before"] = _see(loom)
    deploy(loom, "healthy")
    seen["healthy"] = _see(loom)
    roll_back(loom)
    seen["rolled back"] = _see(loom)
    loom = make_database(server)
    install_grants(loom)
    deploy(loom, "published")
    seen["published"] = _see(loom)
    return seen


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> Stage:
    stage: Stage = request.param
    return stage


@pytest.fixture
def seen(journey: dict[Stage, Seen], stage: Stage) -> Seen:
    return journey[stage]


def _see(loom: LoomDatabase) -> Seen:
    before = _truth(loom)
    log_began = loom.server.log.stat().st_size

    async def run() -> tuple[dict[str, State | None], dict[str, Series]]:
        async with watching(loom.dsn(MONITOR)) as watch:
            await watch.look()
            return watch.states(), watch.series()

    states, series = asyncio.run(run())
    log = _log_since(loom.server.log, log_began)
    return Seen(loom, states, series, log, before, _truth(loom))


def _log_since(log: Path, offset: int) -> str:
    return log.read_bytes()[offset:].decode()


def _truth(loom: LoomDatabase) -> Truth:
    tables = list(DEPLOYMENT.tables)
    with loom.connect() as connection:

        def rows(text: str, *parameters: object) -> list[tuple[Any, ...]]:
            return connection.execute(text.encode(), parameters).fetchall()

        def series(text: str, *parameters: object) -> Series:
            return {tuple(row[:-1]): float(row[-1]) for row in rows(text, *parameters)}

        def number(text: str) -> float:
            return series(text)[()]

        watched = [*tables, MATERIALIZED_VIEW]
        return Truth(
            users=dict(rows("SELECT id, mfa_enabled FROM public.users")),
            with_method={
                user
                for (user,) in rows(
                    "SELECT user_id FROM public.user_mfa_methods WHERE status = 'active'"
                )
            },
            methods=series(
                "SELECT method_type::text, status::text, count(*)"
                " FROM public.user_mfa_methods GROUP BY 1, 2"
            ),
            attempts=[
                (status, at)
                for status, at in rows(
                    "SELECT status::text, created_at FROM public.mfa_verification_attempts"
                )
            ],
            events=[
                (kind, severity, at)
                for kind, severity, at in rows(
                    "SELECT event_type, severity, timestamp FROM public.security_audit_log"
                )
            ],
            policies=series(
                "SELECT tablename, lower(cmd), count(*) FROM pg_policies"
                " WHERE schemaname = 'public' AND tablename = ANY (%s) GROUP BY 1, 2",
                tables,
            ),
            policy_commands={
                (table, policy, command)
                for table, policy, command in rows(
                    "SELECT tablename, policyname, lower(cmd) FROM pg_policies"
                )
            },
            definer_callable=series(
                "SELECT lower(role), count(DISTINCT specific_name)"
                " FROM (VALUES ('anon'), ('authenticated'), ('PUBLIC')) AS caller (role)"
                " JOIN information_schema.routine_privileges ON grantee IN (role, 'PUBLIC')"
                " JOIN information_schema.routines USING (specific_schema, specific_name)"
                " WHERE specific_schema = 'public' AND security_type = 'DEFINER'"
                "   AND data_type <> 'trigger' GROUP BY role"
            ),
            readable=_readable(connection),
            unreadable_tables=_recursing_tables(connection),
            sizes=series(
                "SELECT relname, pg_table_size(oid) + pg_indexes_size(oid) FROM pg_class"
                " WHERE relnamespace = 'public'::regnamespace AND relname = ANY (%s)",
                watched,
            ),
            database_size=number("SELECT pg_database_size('loom')"),
            commits=number("SELECT xact_commit FROM pg_stat_database WHERE datname = 'loom'"),
            indexes=set(
                rows(
                    "SELECT tablename, indexname FROM pg_indexes"
                    " WHERE schemaname = 'public' AND tablename = ANY (%s)",
                    watched,
                )
            ),
            row_security=series(
                "SELECT tablename, rowsecurity::int FROM pg_tables"
                " WHERE schemaname = 'public' AND tablename = ANY (%s)",
                tables,
            ),
            now=datetime.now(UTC),
        )


def _readable(connection: psycopg.Connection[Any]) -> Series:
    """Read every view as each API role, and count those that let it."""
    kinds = {"v": "view", "m": "materialized_view"}
    views = connection.execute(
        "SELECT relkind::text, relname FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')"
    ).fetchall()
    counts: Series = {(kind, role): 0.0 for kind in kinds.values() for role in DEPLOYMENT.api_roles}
    for role, (kind, view) in itertools.product(DEPLOYMENT.api_roles, views):
        counts[kinds[kind], role] += _error_of_reading(connection, role, view) is None
    return counts


def _recursing_tables(connection: psycopg.Connection[Any]) -> set[str]:
    """Return the tables whose policies lead the database in a circle, as a signed-in user sees."""
    return {
        table
        for table in DEPLOYMENT.tables
        if _error_of_reading(connection, "authenticated", table) == "42P17"
    }


def _error_of_reading(connection: psycopg.Connection[Any], role: str, relation: str) -> str | None:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
            connection.execute(
                sql.SQL("SELECT * FROM public.{} LIMIT 1").format(sql.Identifier(relation))
            )
    except psycopg.Error as error:
        return error.sqlstate
    return None


# ── How the runs end ─────────────────────────────────────────────────────────────────────────────


def test_every_query_ends_as_the_stage_demands(seen: Seen, stage: Stage) -> None:
    without_view = {
        "mfa_discrepancies_view": State.ABSENT,
        "mfa_unified_users": State.ABSENT,
        "mfa_view_state": State.EMPTY,
    }
    expected = {query.name: State.OK for query in shipped().queries}
    expected["mfa_refresh_job"] = State.ABSENT
    if stage not in WITH_VIEW:
        expected |= without_view
    assert seen.states == expected


def test_no_query_leaves_an_error_in_the_servers_log(seen: Seen) -> None:
    assert "ERROR" not in seen.log
    assert "WARNING" not in seen.log


# ── What is expected of the deployment ───────────────────────────────────────────────────────────


def test_migrations_are_those_of_the_deployment_and_stay_applied(seen: Seen, stage: Stage) -> None:
    assert seen.series["loom_migration_applied"] == {
        (migration.version, migration.name, phase): float(stage != "before")
        for phase, what in DEPLOYMENT.phases.items()
        for migration in what.migrations
    }


def test_objects_are_those_of_the_deployment_and_go_with_a_rollback(
    seen: Seen, stage: Stage
) -> None:
    assert seen.series["loom_deployment_object_present"] == {
        (phase, each.kind, each.object): float(stage in WITH_VIEW)
        for phase, what in DEPLOYMENT.phases.items()
        for each in what.objects
    }


def test_policies_are_those_of_the_deployment_for_their_command(seen: Seen, stage: Stage) -> None:
    assert seen.series["loom_rls_policy_present"] == {
        (each.table, each.policy): float(
            (each.table, each.policy, each.command) in seen.before.policy_commands
        )
        for what in DEPLOYMENT.phases.values()
        for each in what.policies
    }
    assert sum(seen.series["loom_rls_policy_present"].values()) == (2 if stage == "before" else 4)


def test_expected_audit_events_are_those_of_the_deployment(seen: Seen, stage: Stage) -> None:
    assert seen.series["loom_audit_expected_event_present"] == {
        (event,): float(stage != "before")
        for what in DEPLOYMENT.phases.values()
        for event in what.audit_events
    }


def test_watched_tables_are_those_of_the_deployment(seen: Seen, stage: Stage) -> None:
    tables = {(table,) for table in DEPLOYMENT.tables}
    with_view = tables | ({(MATERIALIZED_VIEW,)} if stage in WITH_VIEW else set())
    series = seen.series
    assert series["loom_rls_enabled"].keys() == tables
    assert series["loom_rls_policies_changed_timestamp_seconds"].keys() == tables
    assert {(table,) for table, _ in series["loom_rls_policies"]} == tables
    for metric in (
        "loom_table_rows_estimate",
        "loom_table_sequential_scans_total",
        "loom_table_index_scans_total",
        "loom_table_dead_rows",
        "loom_table_size_bytes",
    ):
        # A materialized view that was never analysed has no estimate.
        assert tables <= series[metric].keys() <= with_view, metric
    assert series["loom_table_size_bytes"].keys() == with_view


def test_phases_have_a_time_once_their_migrations_are_applied(seen: Seen, stage: Stage) -> None:
    times = seen.series["loom_deployment_timestamp_seconds"]
    assert times.keys() == (
        {(phase,) for phase in DEPLOYMENT.phases} if stage in DEPLOYED else set()
    )
    # This server keeps no commit times, so the exporter tells when it saw the change.
    for at in times.values():
        assert seen.before.now.timestamp() <= at <= seen.after.now.timestamp()


# ── MFA ──────────────────────────────────────────────────────────────────────────────────────────


def test_live_discrepancies_count_also_those_that_a_null_flag_hides(
    seen: Seen, stage: Stage
) -> None:
    truth = seen.before
    disagree = {
        user for user, flag in truth.users.items() if flag is not (user in truth.with_method)
    }
    assert seen.series["loom_mfa_discrepancies"]["live",] == len(disagree)
    known = {"before": (14, 12), "healthy": (0, 0), "rolled back": (0, 0), "published": (2, 0)}
    as_the_view_compares = {user for user in disagree if truth.users[user] is not None}
    assert (len(disagree), len(as_the_view_compares)) == known[stage]


def test_discrepancies_of_the_view_stand_beside_the_live_ones(seen: Seen, stage: Stage) -> None:
    shown = seen.series["loom_mfa_discrepancies"]
    assert shown.get(("view",)) == (0 if stage in WITH_VIEW else None)


def test_users_are_counted_by_flag_by_method_and_by_view(seen: Seen, stage: Stage) -> None:
    truth = seen.before
    expected = {
        ("flag",): sum(flag is True for flag in truth.users.values()),
        ("methods",): len(truth.with_method),
    }
    if stage in WITH_VIEW:
        expected["unified",] = len(truth.with_method)
    assert seen.series["loom_mfa_enabled_users"] == expected
    assert seen.series["loom_users"] == {(): 200}
    assert seen.series["loom_mfa_backup_code_users"] == {(): 40}
    assert seen.series["loom_mfa_flag_unset_users"] == {
        (): sum(flag is None for flag in truth.users.values())
    }


def test_methods_are_counted_by_type_and_status(seen: Seen) -> None:
    shown = seen.series["loom_mfa_methods"]
    assert len(shown) == 4 * 4
    assert {labels: value for labels, value in shown.items() if value} == seen.before.methods


def test_verifications_are_counted_in_their_windows(seen: Seen) -> None:
    shown = seen.series["loom_mfa_verifications"]
    assert len(shown) == 4 * 2
    _assert_between(
        shown,
        # Nothing is added meanwhile, and what gets too old leaves the window.
        _in_windows(seen.after.attempts, seen.after.now),
        _in_windows(seen.before.attempts, seen.before.now),
    )


def test_view_is_populated_exactly_while_it_is_there(seen: Seen, stage: Stage) -> None:
    there = stage in WITH_VIEW
    assert seen.series["loom_mfa_view_populated"] == ({(): 1} if there else {})
    assert seen.series["loom_mfa_view_rows"] == ({(): 200} if there else {})
    assert (() in seen.series["loom_mfa_view_refreshed_timestamp_seconds"]) is there


# ── Resource library, policies, functions ────────────────────────────────────────────────────────


def test_findings_are_those_that_the_seed_hides(seen: Seen) -> None:
    assert seen.series["loom_resource_findings"] == {
        ("orphaned_items",): 3,
        ("non_library_items",): 2,
        ("orphaned_progress",): 2,
        ("non_library_progress",): 4,
        ("empty_collections",): 3,
        ("duplicate_items",): 0,
        ("ownership_mismatch",): 2,
        ("progress_no_share",): 5,
        ("invalid_coach",): 1,
        ("invalid_client",): 2,
    }


def test_policies_are_counted_by_command(seen: Seen) -> None:
    shown = seen.series["loom_rls_policies"]
    assert len(shown) == len(DEPLOYMENT.tables) * 5
    assert {labels: value for labels, value in shown.items() if value} == seen.before.policies
    assert seen.series["loom_rls_enabled"] == seen.before.row_security


def test_cycle_tables_are_those_that_cannot_be_read(seen: Seen, stage: Stage) -> None:
    recursing = seen.before.unreadable_tables
    assert seen.series["loom_rls_policy_cycle_tables"] == {(): len(recursing)}
    assert recursing == (
        {"resource_collections", "resource_collection_items"} if stage == "published" else set()
    )


def test_policies_leave_resource_id_for_file_id(seen: Seen, stage: Stage) -> None:
    shown = seen.series["loom_rls_policy_column_references"]
    by_column = Counter[str]()
    for (_, column), policies in shown.items():
        by_column[column] += int(policies)
    assert len(shown) == 2 * 2
    assert by_column == (
        {"file_id": 0, "resource_id": 2} if stage == "before" else {"file_id": 3, "resource_id": 0}
    )


def test_functions_without_search_path_are_counted(seen: Seen, stage: Stage) -> None:
    grades = {
        "before": {"unset": 20, "pinned": 2},
        "healthy": {"catalog_first": 20, "pinned": 2, "empty": 3},
        "rolled back": {"catalog_first": 20, "pinned": 2},
        "published": {"unset": 17, "pinned": 13},
    }
    shown = seen.series["loom_security_definer_functions"]
    assert len(shown) == 6
    assert {grade: value for (grade,), value in shown.items() if value} == grades[stage]


def test_callable_definer_functions_are_those_of_the_information_schema(seen: Seen) -> None:
    shown = seen.series["loom_security_definer_executable_functions"]
    assert shown == seen.before.definer_callable
    assert shown.keys() == {("public",), *((role,) for role in DEPLOYMENT.api_roles)}


def test_exposed_relations_are_those_that_an_api_role_can_read(seen: Seen, stage: Stage) -> None:
    shown = seen.series["loom_exposed_relations"]
    assert shown == seen.before.readable
    published = {("materialized_view", role): 1.0 for role in DEPLOYMENT.api_roles} | {
        ("view", role): 2.0 for role in DEPLOYMENT.api_roles
    }
    assert {labels: value for labels, value in shown.items() if value} == (
        published if stage == "published" else {}
    )


# ── Audit log ────────────────────────────────────────────────────────────────────────────────────


def test_audit_events_are_counted_in_their_windows(seen: Seen) -> None:
    shown = seen.series["loom_audit_events"]
    listed = {kind for kind, _, _ in shown}
    assert len(shown) == len(listed) * 5 * 2

    def counted(truth: Truth) -> Counter[tuple[str, ...]]:
        named = [
            ((kind if kind in listed else "other"), severity, at)
            for kind, severity, at in truth.events
        ]
        windows = Counter[tuple[str, ...]]()
        for severity in {severity for _, severity, _ in named}:
            events = [(kind, at) for kind, each, at in named if each == severity and at]
            for (kind, window), count in _in_windows(events, truth.now).items():
                windows[kind, severity, window] = count
        return windows

    _assert_between(shown, counted(seen.after), counted(seen.before))


def test_last_events_are_the_newest_of_their_type(seen: Seen) -> None:
    shown = seen.series["loom_audit_last_event_timestamp_seconds"]
    listed = {kind for kind, _, _ in seen.series["loom_audit_events"]}
    newest: dict[tuple[str, ...], float] = {}
    for kind, _, at in seen.before.events:
        if at is not None:
            key = (kind if kind in listed else "other",)
            newest[key] = max(at.timestamp(), newest.get(key, 0.0))
    assert shown == pytest.approx(newest, abs=1e-5)


# ── Tables, indexes, the database ────────────────────────────────────────────────────────────────


def test_sizes_and_indexes_are_those_of_the_server(seen: Seen) -> None:
    _assert_between(
        seen.series["loom_table_size_bytes"], seen.before.sizes, seen.after.sizes, complete=True
    )
    size = seen.series["loom_database_size_bytes"][()]
    assert seen.before.database_size <= size <= seen.after.database_size
    for metric in ("loom_index_scans_total", "loom_index_valid"):
        assert seen.series[metric].keys() == seen.before.indexes
    assert set(seen.series["loom_index_valid"].values()) == {1}


def test_transactions_are_those_of_the_server(seen: Seen) -> None:
    shown = seen.series["loom_database_transactions_total"]
    assert shown.keys() == {("commit",), ("rollback",)}
    assert seen.before.commits <= shown["commit",] <= seen.after.commits
    assert seen.series["loom_database_max_connections"] == {(): 100}
    assert seen.series["loom_database_deadlocks_total"] == {(): 0}


def _in_windows(events: list[tuple[str, Any]], now: datetime) -> Counter[tuple[str, ...]]:
    counts = Counter[tuple[str, ...]]()
    for kind, at in events:
        for window, seconds in (("1h", 3600), ("24h", 86400)):
            counts[kind, window] += 0 <= (now - at).total_seconds() < seconds
    return counts


def _assert_between(
    shown: Series,
    least: Mapping[tuple[str, ...], float],
    most: Mapping[tuple[str, ...], float],
    *,
    complete: bool = False,
) -> None:
    assert sum(shown.values()) > 0
    assert least.keys() <= shown.keys()
    if complete:
        assert shown.keys() == most.keys()
    for labels, value in shown.items():
        assert least.get(labels, 0) <= value <= most.get(labels, 0), labels


# ── Traps ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def watched(loom: LoomDatabase) -> LoomDatabase:
    """Return a database with the monitoring role, before the deployment."""
    install_grants(loom)
    return loom


@pytest.fixture
def deployed(watched: LoomDatabase) -> LoomDatabase:
    """Return a database with the monitoring role, after a deployment that went well."""
    deploy(watched, "healthy")
    return watched


def _query(name: str) -> Any:
    query = shipped().query(name)
    assert query is not None
    return query


def _series(loom: LoomDatabase, name: str) -> Mapping[str, Mapping[tuple[str, ...], float]]:
    snapshot = look(loom, _query(name))[name]
    assert snapshot.state is State.OK, snapshot.detail
    return snapshot.samples


def test_flag_that_becomes_null_is_a_discrepancy_whatever_the_methods_say(
    deployed: LoomDatabase,
) -> None:
    with deployed.connect() as connection:
        connection.execute(
            "UPDATE public.users SET mfa_enabled = NULL"
            " WHERE email IN ('coach5@loom.example', 'coach7@loom.example')"
        )
        connection.execute("REFRESH MATERIALIZED VIEW public.user_mfa_status_unified")
    assert _series(deployed, "mfa_discrepancies") == {"loom_mfa_discrepancies": {("live",): 2}}
    assert _series(deployed, "mfa_users")["loom_mfa_flag_unset_users"] == {(): 2}
    assert _series(deployed, "mfa_discrepancies_view") == {"loom_mfa_discrepancies": {("view",): 2}}


def test_audit_event_that_arrives_late_is_counted(watched: LoomDatabase) -> None:
    def role_changes() -> float:
        return _series(watched, "audit_events")["loom_audit_events"]["role_change", "error", "1h"]

    insert = "INSERT INTO public.security_audit_log (event_type, severity) VALUES (%s, %s)"
    with watched.connect() as slow, watched.connect() as quick:
        with slow.transaction():
            slow.execute(insert, ["role_change", "error"])
            quick.execute(insert, ["role_change", "error"])
            assert role_changes() == 1
        # Now there is a row that is older than the newest one already counted.
        assert role_changes() == 2


def test_audit_event_without_a_time_or_from_the_future_is_no_event_to_go_by(
    watched: LoomDatabase,
) -> None:
    before = _series(watched, "audit_events")
    with watched.connect() as connection:
        connection.execute(
            "INSERT INTO public.security_audit_log (event_type, timestamp) VALUES"
            " ('mfa_consolidation', NULL), ('mfa_consolidation', now() + interval '1 year')"
        )
    last = _series(watched, "audit_last_event")["loom_audit_last_event_timestamp_seconds"]
    assert ("mfa_consolidation",) not in last
    assert max(last.values()) <= time.time()
    assert _series(watched, "audit_events") == before
    # It is there all the same.
    present = _series(watched, "audit_expected_events")["loom_audit_expected_event_present"]
    assert present["mfa_consolidation",] == 1


def test_event_types_that_anybody_makes_up_make_no_series(watched: LoomDatabase) -> None:
    with watched.connect() as connection:
        connection.execute("SET ROLE anon")
        connection.execute(
            "INSERT INTO public.security_audit_log (event_type)"
            " SELECT 'made up ' || n FROM generate_series(1, 500) AS n"
        )
    events = _series(watched, "audit_events")["loom_audit_events"]
    assert len(events) == 80
    assert events["other", "info", "1h"] >= 500


def test_view_without_data_is_absent_and_never_zero(deployed: LoomDatabase) -> None:
    with deployed.connect() as connection:
        connection.execute("REFRESH MATERIALIZED VIEW public.user_mfa_status_unified WITH NO DATA")
    began = deployed.server.log.stat().st_size
    names = ("mfa_unified_users", "mfa_discrepancies_view", "mfa_view_state")
    seen = look(deployed, *map(_query, names))
    assert [seen[name].state for name in names] == [State.ABSENT, State.ABSENT, State.OK]
    assert not seen["mfa_unified_users"].samples
    assert not seen["mfa_discrepancies_view"].samples
    assert seen["mfa_view_state"].samples["loom_mfa_view_populated"] == {(): 0}
    assert not seen["mfa_view_state"].samples.get("loom_mfa_view_refreshed_timestamp_seconds")
    assert "ERROR" not in _log_since(deployed.server.log, began)


async def test_refresh_is_seen_and_what_only_looks_like_one_is_not(deployed: LoomDatabase) -> None:
    metric = "loom_mfa_view_refreshed_timestamp_seconds"
    with deployed.connect() as connection:
        async with watching(deployed.dsn(MONITOR), _query("mfa_view_state")) as watch:

            async def refreshed_at() -> float:
                return (await watch.look()).samples[metric][()]

            first = await refreshed_at()
            view = "public.user_mfa_status_unified"
            for harmless in (
                f"ANALYZE {view}",
                f"VACUUM {view}",
                f"CREATE INDEX ON {view} (email)",
            ):
                connection.execute(harmless.encode())
                assert await refreshed_at() == first, harmless
            # The refresh changes no row.
            connection.execute(f"REFRESH MATERIALIZED VIEW CONCURRENTLY {view}".encode())
            second = await refreshed_at()
            assert second > first
            assert await refreshed_at() == second
            connection.execute(f"REFRESH MATERIALIZED VIEW {view}".encode())
            assert await refreshed_at() > second


@pytest.mark.parametrize(
    "change",
    [
        'ALTER POLICY "Coaches can view their own collections" ON {} USING (coach_id IS NULL)',
        'ALTER POLICY "Coaches can view their own collections" ON {} TO authenticated',
        'ALTER POLICY "Coaches can create their own collections" ON {} WITH CHECK (false)',
        'ALTER POLICY "Coaches can view their own collections" ON {} RENAME TO "Another"',
        'DROP POLICY "Coaches can view their own collections" ON {}',
    ],
    ids=["expression", "roles", "check", "name", "drop"],
)
@only_18
async def test_change_of_a_policy_dates_its_table_alone(watched: LoomDatabase, change: str) -> None:
    metric = "loom_rls_policies_changed_timestamp_seconds"
    async with watching(watched.dsn(MONITOR), _query("rls_policies_changed")) as watch:
        before = (await watch.look()).samples[metric]
        assert (await watch.look()).samples[metric] == before
        with watched.connect(OWNER) as connection:
            connection.execute(change.format("public.resource_collections").encode())
        after = (await watch.look()).samples[metric]
    assert {table for table, at in after.items() if at != before[table]} == {
        ("resource_collections",)
    }


@only_18
def test_policy_of_the_right_name_for_the_wrong_command_is_not_present(
    deployed: LoomDatabase,
) -> None:
    policy = "Clients can view shared collection items"
    with deployed.connect(OWNER) as connection:
        connection.execute(
            f'DROP POLICY "{policy}" ON public.resource_collection_items;'
            f' CREATE POLICY "{policy}" ON public.resource_collection_items FOR ALL'
            " USING (true)".encode()
        )
    shown = _series(deployed, "rls_policies_present")["loom_rls_policy_present"]
    assert [labels for labels, value in shown.items() if not value] == [
        ("resource_collection_items", policy)
    ]


@only_18
def test_disabled_trigger_is_not_present(deployed: LoomDatabase) -> None:
    with deployed.connect(OWNER) as connection:
        connection.execute("ALTER TABLE public.user_mfa_methods DISABLE TRIGGER USER")
    shown = _series(deployed, "deployment_objects")["loom_deployment_object_present"]
    assert [kind for (_, kind, _), value in shown.items() if not value] == ["trigger"]


@only_18
def test_policies_that_do_nothing_are_told_by_row_security_that_is_off(
    watched: LoomDatabase,
) -> None:
    with watched.connect(OWNER) as connection:
        connection.execute("ALTER TABLE public.users DISABLE ROW LEVEL SECURITY")
    enabled = _series(watched, "rls_enabled")["loom_rls_enabled"]
    assert [table for (table,), value in enabled.items() if not value] == ["users"]


@only_18
def test_view_that_reads_as_its_caller_is_not_exposed(watched: LoomDatabase) -> None:
    deploy(watched, "published")

    def exposed() -> tuple[float, float]:
        shown = _series(watched, "exposed_relations")["loom_exposed_relations"]
        return shown["view", "anon"], shown["materialized_view", "anon"]

    assert exposed() == (2, 1)
    with watched.connect(OWNER) as connection:
        for change, then in (
            ("ALTER VIEW public.users_with_active_mfa SET (security_invoker = on)", (1, 1)),
            ("ALTER VIEW public.mfa_status_discrepancies SET (security_invoker = 0)", (1, 1)),
            ("REVOKE ALL ON public.user_mfa_status_unified FROM anon", (1, 0)),
            # One column is enough to be read.
            ("GRANT SELECT (email) ON public.user_mfa_status_unified TO anon", (1, 1)),
        ):
            connection.execute(change.encode())
            assert exposed() == then, change


@only_18
def test_invalid_index_is_told(watched: LoomDatabase) -> None:
    with watched.connect(OWNER) as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON public.users (role)")
    valid = _series(watched, "indexes")["loom_index_valid"]
    assert [labels for labels, value in valid.items() if not value] == [("users", "broken")]


@pytest.mark.parametrize(
    ("search_path", "grade"),
    [
        ("''", "empty"),
        ("pg_catalog, public", "catalog_first"),
        ("public, pg_catalog", "pinned"),
        ("'public, pg_temp'", "pinned"),
        ('"$user", public', "user_schema"),
        ("public, open_house", "writable_schema"),
        ("api_house", "writable_schema"),
    ],
)
@only_18
def test_function_is_graded_by_the_worst_that_its_search_path_allows(
    watched: LoomDatabase, search_path: str, grade: str
) -> None:
    metric = "loom_security_definer_functions"
    before = _series(watched, "security_definer_functions")[metric]
    with watched.connect(OWNER) as connection:
        connection.execute(
            "CREATE SCHEMA open_house; GRANT CREATE ON SCHEMA open_house TO PUBLIC;"
            "CREATE SCHEMA api_house; GRANT CREATE ON SCHEMA api_house TO anon"
        )
        # work_mem names search_path in its own way, and must not be taken for it.
        connection.execute(
            "CREATE FUNCTION public.graded() RETURNS int LANGUAGE sql SECURITY DEFINER"
            f" SET application_name = 'search_path=public' SET search_path = {search_path}"
            " AS 'SELECT 1'".encode()
        )
    after = _series(watched, "security_definer_functions")[metric]
    changed = {labels: after[labels] - before[labels] for labels in after}
    assert {labels: by for labels, by in changed.items() if by} == {(grade,): 1}


def test_waiting_session_and_open_transaction_are_seen(watched: LoomDatabase) -> None:
    lock = "LOCK TABLE public.sessions IN ACCESS EXCLUSIVE MODE"
    with (
        watched.connect() as holder,
        watched.connect() as waiter,
        ThreadPoolExecutor(1) as thread,
    ):
        with holder.transaction():
            holder.execute(lock)
            waiting = thread.submit(waiter.execute, f"BEGIN; {lock}; COMMIT")
            _until(
                lambda: bool(
                    holder.execute(
                        "SELECT FROM pg_locks WHERE pid = %s AND NOT granted",
                        [waiter.info.backend_pid],
                    ).fetchall()
                )
            )
            activity = _series(watched, "database_activity")
            connections = _series(watched, "database_connections")["loom_database_connections"]
        waiting.result(timeout=10)
    assert activity["loom_database_lock_waiters"] == {(): 1}
    assert 0 < activity["loom_database_oldest_transaction_seconds"][()] < 60
    assert connections["idle_in_transaction",] == 1
    assert connections["active",] == 1


def test_what_is_hidden_from_the_role_is_unknown_and_not_zero(watched: LoomDatabase) -> None:
    with watched.connect() as superuser:
        superuser.execute(f"REVOKE pg_read_all_stats FROM {MONITOR} CASCADE".encode())
        if superuser.info.server_version >= 160000:
            # A grant stands beside that of every other grantor.
            superuser.execute(
                f"REVOKE pg_read_all_stats FROM {MONITOR} GRANTED BY postgres".encode()
            )
        snapshot = look(watched, _query("database_activity"))["database_activity"]
        assert snapshot.state is State.OK
        assert not any(snapshot.samples.values())
        connections = _series(watched, "database_connections")["loom_database_connections"]
    assert connections["unknown",] >= 1
    assert connections["idle",] == 0


def _until(condition: Callable[[], bool], timeout_seconds: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_queries_know_the_exact_times_where_the_server_keeps_them(new_server: NewServer) -> None:
    server = new_server(18, {"track_commit_timestamp": "on"})
    make_template(server)
    loom = make_database(server)
    install_grants(loom)
    deploy(loom, "healthy")
    with loom.connect() as connection:
        committed = connection.execute(
            "SELECT version, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8"
            " FROM supabase_migrations.schema_migrations WHERE version > '20251021'"
            " ORDER BY version"
        ).fetchall()
        exact = {
            (phase,): at
            for (phase, what), (version, at) in zip(
                DEPLOYMENT.phases.items(), committed, strict=True
            )
            if [version] == [migration.version for migration in what.migrations]
        }
        assert len(exact) == 3
        shown = _series(loom, "deployment_phases")["loom_deployment_timestamp_seconds"]
        assert shown == pytest.approx(exact, abs=1e-5)
        assert len(set(shown.values())) == 3

        began = time.time()
        connection.execute("REFRESH MATERIALIZED VIEW public.user_mfa_status_unified")
        ended = time.time()
    time.sleep(0.1)  # so that the time of the look cannot be taken for that of the refresh
    refreshed = _series(loom, "mfa_view_state")["loom_mfa_view_refreshed_timestamp_seconds"][()]
    assert began <= refreshed <= ended


@pytest.mark.parametrize("server", [15], indirect=True)
def test_every_query_runs_unchanged_in_psql(deployed: LoomDatabase) -> None:
    psql = require_postgres(15) / "psql"
    absent = {"mfa_refresh_job"}
    files = [query.path for query in shipped().queries if query.name not in absent]
    arguments = itertools.chain.from_iterable(("-f", str(path)) for path in files)
    run = subprocess.run(
        [psql, "-X", "-A", "-q", "-v", "ON_ERROR_STOP=1", deployed.dsn(OWNER), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (run.returncode, run.stderr) == (0, "")
    # One table for each, with its own header and its own footer.
    footers = [line for line in run.stdout.splitlines() if line.startswith("(")]
    assert len(footers) == len(files)

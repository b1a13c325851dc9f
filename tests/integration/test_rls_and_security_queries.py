"""What is shown of who may read and run what: policies, functions, views."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support.marks import only_18
from tests.support.shipped_queries import DEPLOYMENT, series_of, shipped_query
from tests.support.watching import MONITOR, OWNER, deploy, watching

if TYPE_CHECKING:
    from tests.support.journey import Seen, Stage
    from tests.support.loom_database import LoomDatabase


def test_policies_are_counted_by_command(seen: Seen) -> None:
    shown = seen.series["loom_rls_policies"]
    assert len(shown) == (len(DEPLOYMENT.tables) - 1) * 5, "all but the materialized view"
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
        "healthy": {"catalog_first": 20, "pinned": 2, "empty": 5},  # two in schema private
        "rolled back": {"catalog_first": 20, "pinned": 2, "empty": 2},
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


# ── Traps ────────────────────────────────────────────────────────────────────────────────────────


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
    async with watching(watched.dsn(MONITOR), shipped_query("rls_policies_changed")) as watch:
        before = (await watch.look()).samples[metric]
        assert (await watch.look()).samples[metric] == before
        with watched.connect(OWNER) as connection:
            connection.execute(change.format("public.resource_collections").encode())
        after = (await watch.look()).samples[metric]
    assert {table for table, at in after.items() if at != before[table]} == {
        ("resource_collections",)
    }


@only_18
def test_policies_that_do_nothing_are_told_by_row_security_that_is_off(
    watched: LoomDatabase,
) -> None:
    with watched.connect(OWNER) as connection:
        connection.execute("ALTER TABLE public.users DISABLE ROW LEVEL SECURITY")
    enabled = series_of(watched, "rls_enabled")["loom_rls_enabled"]
    assert [table for (table,), value in enabled.items() if not value] == ["users"]


@only_18
def test_view_that_reads_as_its_caller_is_not_exposed(watched: LoomDatabase) -> None:
    deploy(watched, "published")

    def exposed() -> tuple[float, float]:
        shown = series_of(watched, "exposed_relations")["loom_exposed_relations"]
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
    before = series_of(watched, "security_definer_functions")[metric]
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
    after = series_of(watched, "security_definer_functions")[metric]
    changed = {labels: after[labels] - before[labels] for labels in after}
    assert {labels: by for labels, by in changed.items() if by} == {(grade,): 1}

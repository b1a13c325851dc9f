"""The shipped probes see what a user of the API sees, and say so within one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.catalog.deployment import OTHER
from exporter.run_state import State
from exporter.statements.classes import classify
from exporter.statements.text import parse_statement
from tests.support.impersonation import SUBJECTS, impersonating, install_probe_role
from tests.support.observers import eventually
from tests.support.watching import shipped

if TYPE_CHECKING:
    from tests.support.loom_database import LoomDatabase

NAMES = [probe.name for probe in shipped().probes]


@pytest.fixture
def probed(deployed: LoomDatabase) -> LoomDatabase:
    """Return a database after a deployment that went well, with the login of the probes."""
    install_probe_role(deployed)
    return deployed


async def test_all_probes_hold_after_a_healthy_deployment(probed: LoomDatabase) -> None:
    async with impersonating(probed) as probes:
        assert await probes.look() == dict.fromkeys(NAMES, 1.0)


async def test_probes_see_what_the_second_migration_repairs(watched: LoomDatabase) -> None:
    install_probe_role(watched)
    async with impersonating(watched) as probes:
        seen = await probes.look()
    assert {name for name, value in seen.items() if value == 0.0} == {
        "rls_coach_adds_own_file",
        "rls_client_sees_shared_items",
        "rls_coach_sees_progress",
    }
    # Whether another coach sees progress says nothing while its own coach sees none.
    assert seen["rls_other_coach_cannot_see_progress"] is State.ABSENT


FAULTS = {
    "a policy opened": (
        'ALTER POLICY "Coaches can view their own collections" ON resource_collections'
        " USING (true)",
        {"rls_other_coach_cannot_see_collections": 0.0},
    ),
    "a client's policy opened": (
        'ALTER POLICY "Clients can view shared collection items" ON resource_collection_items'
        " USING (true)",
        {"rls_client_cannot_see_unshared_items": 0.0},
    ),
    "a policy shut": (
        'ALTER POLICY "Clients can view shared collection items" ON resource_collection_items'
        " USING (file_id = (SELECT auth.uid()))",
        {"rls_client_sees_shared_items": 0.0},
    ),
    "row-level security off": (
        "ALTER TABLE resource_client_progress DISABLE ROW LEVEL SECURITY",
        {"rls_other_coach_cannot_see_progress": 0.0, "rls_client_cannot_track_for_another": 0.0},
    ),
    "INSERT revoked": (
        "REVOKE INSERT ON resource_collection_items FROM authenticated",
        {"rls_coach_adds_own_file": 0.0},
    ),
    "SELECT revoked": (
        "REVOKE SELECT ON resource_client_progress FROM authenticated",
        {
            "rls_client_sees_own_progress": 0.0,
            "rls_coach_sees_progress": State.ABSENT,
            "rls_other_coach_cannot_see_progress": State.ABSENT,
        },
    ),
    "WITH CHECK loosened": (
        'ALTER POLICY "Coaches can add items to their collections" ON resource_collection_items'
        " WITH CHECK (true)",
        {"rls_coach_cannot_add_others_file": 0.0},
    ),
    "WITH CHECK loosened by half": (
        'ALTER POLICY "Coaches can create their own collections" ON resource_collections'
        " WITH CHECK (coach_id IS NOT NULL)",
        {"rls_coach_cannot_create_for_another": 0.0},
    ),
    "a second policy that lets everything in": (
        "CREATE POLICY helpful ON file_shares FOR INSERT WITH CHECK (true)",
        {"rls_coach_cannot_share_as_another": 0.0},
    ),
    "a restrictive policy that lets nothing in": (
        "CREATE POLICY strict ON file_shares AS RESTRICTIVE FOR INSERT WITH CHECK (false)",
        # It is refused for another reason than that it is somebody else's: that proves nothing.
        {"rls_coach_shares_file": 0.0, "rls_coach_cannot_share_as_another": State.ABSENT},
    ),
    "policies that go in a circle": (
        "CREATE POLICY circle ON resource_collections FOR SELECT TO authenticated USING"
        " (EXISTS (SELECT FROM resource_collection_items AS i WHERE i.collection_id = id))",
        {"rls_coach_sees_own_collections": 0.0},
    ),
    "a table emptied": (
        "TRUNCATE resource_client_progress",
        {
            "rls_client_sees_own_progress": 0.0,
            "rls_coach_sees_progress": State.ABSENT,
            "rls_other_coach_cannot_see_progress": State.ABSENT,
        },
    ),
    "all shares gone": (
        "TRUNCATE file_shares",
        {
            "rls_coach_sees_shared_items": 0.0,
            "rls_client_sees_shared_items": State.ABSENT,
            "rls_client_tracks_own_progress": State.ABSENT,
        },
    ),
}


@pytest.mark.parametrize(("fault", "expected"), FAULTS.values(), ids=FAULTS)
async def test_a_fault_is_seen_by_the_next_run(
    probed: LoomDatabase, fault: str, expected: dict[str, float | State]
) -> None:
    async with impersonating(probed) as probes:
        await probes.look(*expected)
        probed.run(f"SET search_path = public, auth; {fault}")
        assert await probes.look(*expected) == expected


async def test_a_probe_leaves_nothing_behind(probed: LoomDatabase) -> None:
    count = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables"
    with probed.connect() as superuser:
        # Those who have written count it when they end.
        others = (
            "SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        eventually("nobody else is there", lambda: not superuser.execute(others).fetchall())
        superuser.execute("SELECT pg_stat_force_next_flush()")
        before = superuser.execute(count).fetchone()
        async with impersonating(probed) as probes:
            await probes.look()
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'loom_probe'"
        eventually("it ends", lambda: superuser.execute(sessions).fetchone() == (0,))
        assert superuser.execute(count).fetchone() == before


async def test_time_of_probes_is_not_taken_for_that_of_the_application(
    probed: LoomDatabase,
) -> None:
    classes = shipped().deployment.classes
    with probed.connect() as superuser:
        superuser.execute("SELECT extensions.pg_stat_statements_reset()")
        async with impersonating(probed) as probes:
            await probes.look()
        texts = superuser.execute(
            "SELECT query FROM extensions.pg_stat_statements"
            " WHERE userid IN ('authenticated'::regrole, 'loom_probe'::regrole) AND toplevel"
        ).fetchall()
    assert sum("resource_" in text for (text,) in texts) > 10
    found = {classify(parse_statement(text), classes).name for (text,) in texts}
    assert found == {OTHER}


async def test_without_a_login_probes_are_unconfigured(probed: LoomDatabase) -> None:
    async with impersonating(probed) as probes:
        probes.probes._conninfo = None
        assert set((await probes.look()).values()) == {State.UNCONFIGURED}


async def test_a_test_user_without_a_name_is_an_error(probed: LoomDatabase) -> None:
    named = {"coach": SUBJECTS["coach"]}
    async with impersonating(probed, subjects=named) as probes:
        seen = await probes.look()
    # Not unconfigured: half of what is asked for is not left to people.
    assert seen["rls_coach_sees_own_collections"] == 1.0
    assert seen["rls_client_sees_own_progress"] is State.ERROR
    assert "client" in probes.snapshots["rls_client_sees_own_progress"].detail

"""What is shown of MFA: the numbers are true, and the unified view is not taken at its word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.run_state import State
from tests.support.journey import WITH_VIEW
from tests.support.observers import follow
from tests.support.shipped_queries import series_of, shipped_query
from tests.support.truth import assert_between, in_windows
from tests.support.watching import MONITOR, look, watching

if TYPE_CHECKING:
    from tests.support.journey import Seen, Stage
    from tests.support.loom_database import LoomDatabase


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
    assert_between(
        shown,
        # Nothing is added meanwhile, and what gets too old leaves the window.
        in_windows(seen.after.attempts, seen.after.now),
        in_windows(seen.before.attempts, seen.before.now),
    )


def test_view_is_populated_exactly_while_it_is_there(seen: Seen, stage: Stage) -> None:
    there = stage in WITH_VIEW
    assert seen.series["loom_mfa_view_populated"] == ({(): 1} if there else {})
    assert seen.series["loom_mfa_view_rows"] == ({(): 200} if there else {})
    assert (() in seen.series["loom_mfa_view_refreshed_timestamp_seconds"]) is there


# ── Traps ────────────────────────────────────────────────────────────────────────────────────────


def test_flag_that_becomes_null_is_a_discrepancy_whatever_the_methods_say(
    deployed: LoomDatabase,
) -> None:
    with deployed.connect() as connection:
        connection.execute(
            "UPDATE public.users SET mfa_enabled = NULL"
            " WHERE email IN ('coach5@loom.example', 'coach7@loom.example')"
        )
        connection.execute("REFRESH MATERIALIZED VIEW public.user_mfa_status_unified")
    assert series_of(deployed, "mfa_discrepancies") == {"loom_mfa_discrepancies": {("live",): 2}}
    assert series_of(deployed, "mfa_users")["loom_mfa_flag_unset_users"] == {(): 2}
    assert series_of(deployed, "mfa_discrepancies_view") == {
        "loom_mfa_discrepancies": {("view",): 2}
    }


def test_view_without_data_is_absent_and_never_zero(deployed: LoomDatabase) -> None:
    with deployed.connect() as connection:
        connection.execute("REFRESH MATERIALIZED VIEW public.user_mfa_status_unified WITH NO DATA")
    log = follow(deployed.server.log)
    names = ("mfa_unified_users", "mfa_discrepancies_view", "mfa_view_state")
    seen = look(deployed, *map(shipped_query, names))
    assert [seen[name].state for name in names] == [State.ABSENT, State.ABSENT, State.OK]
    assert not seen["mfa_unified_users"].samples
    assert not seen["mfa_discrepancies_view"].samples
    assert seen["mfa_view_state"].samples["loom_mfa_view_populated"] == {(): 0}
    assert not seen["mfa_view_state"].samples.get("loom_mfa_view_refreshed_timestamp_seconds")
    assert "ERROR" not in log()


async def test_refresh_is_seen_and_what_only_looks_like_one_is_not(deployed: LoomDatabase) -> None:
    metric = "loom_mfa_view_refreshed_timestamp_seconds"
    with deployed.connect() as connection:
        async with watching(deployed.dsn(MONITOR), shipped_query("mfa_view_state")) as watch:

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

"""What is shown of the deployment: that it made what its file expects of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.journey import DEPLOYED, WITH_VIEW
from tests.support.marks import only_18
from tests.support.shipped_queries import DEPLOYMENT, MATERIALIZED_VIEW, series_of
from tests.support.watching import OWNER, deploy, look, shipped

if TYPE_CHECKING:
    from tests.support.journey import Seen, Stage
    from tests.support.loom_database import LoomDatabase


def test_migrations_are_those_of_the_deployment_and_stay_applied(seen: Seen, stage: Stage) -> None:
    assert seen.series["loom_migration_applied"] == {
        (migration.version, migration.name, phase): float(stage != "before")
        for phase, what in DEPLOYMENT.phases.items()
        for migration in what.migrations
    }


def test_history_tells_expected_earlier_unknown_and_late_migrations(watched: LoomDatabase) -> None:
    def states() -> dict[str, str]:
        (query,) = [each for each in shipped().queries if each.name == "migration_history"]
        series = look(watched, query)["migration_history"].samples["loom_migration_history_info"]
        return {version: state for version, _, state in series}

    assert set(states().values()) == {"earlier"}
    deploy(watched, "healthy")
    expected = {each.version for what in DEPLOYMENT.phases.values() for each in what.migrations}
    assert {version for version, state in states().items() if state == "expected"} == expected
    insert = "INSERT INTO supabase_migrations.schema_migrations (version, name) VALUES ('{}', 'x')"
    watched.run(insert.format("20261101000001"))
    watched.run(insert.format("20250101000001"))
    found = states()
    assert found["20261101000001"] == "unknown"
    assert found["20250101000001"] == "out_of_order"


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
    tables = {(table,) for table in DEPLOYMENT.tables if table != MATERIALIZED_VIEW}
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


def test_migrations_have_a_time_once_they_are_applied(seen: Seen, stage: Stage) -> None:
    times = seen.series["loom_migration_written_timestamp_seconds"]
    versions = {
        (migration.version,)
        for phase in DEPLOYMENT.phases.values()
        for migration in phase.migrations
    }
    assert times.keys() == (versions if stage in DEPLOYED else set())
    # This server keeps no commit times, so the exporter tells when it saw the change.
    for at in times.values():
        assert seen.before.now.timestamp() <= at <= seen.after.now.timestamp()


# ── Traps ────────────────────────────────────────────────────────────────────────────────────────


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
    shown = series_of(deployed, "rls_policies_present")["loom_rls_policy_present"]
    assert [labels for labels, value in shown.items() if not value] == [
        ("resource_collection_items", policy)
    ]


@only_18
def test_disabled_trigger_is_not_present(deployed: LoomDatabase) -> None:
    with deployed.connect(OWNER) as connection:
        connection.execute("ALTER TABLE public.user_mfa_methods DISABLE TRIGGER USER")
    shown = series_of(deployed, "deployment_objects")["loom_deployment_object_present"]
    assert [kind for (_, kind, _), value in shown.items() if not value] == ["trigger"]

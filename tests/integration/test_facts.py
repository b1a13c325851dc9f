"""What is read of a server says which database it is, and under what circumstances it works."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from exporter.database.database import Database
from exporter.database.facts import PLANNER, SETTINGS, ServerFacts, read_facts
from tests.support.loom_database import make_database, make_template
from tests.support.marks import only_18
from tests.support.observers import follow
from tests.support.truth import ask
from tests.support.watching import MONITOR, OWNER

if TYPE_CHECKING:
    from tests.conftest import NewServer
    from tests.support.loom_database import LoomDatabase


async def facts_of(loom: LoomDatabase, user: str = MONITOR) -> ServerFacts:
    """Read the facts over a connection of their own, as a role."""
    database = Database("loom", lambda: loom.dsn(user))
    await database.open()
    try:
        return await read_facts(database)
    finally:
        await database.close()


def _run(loom: LoomDatabase, statement: str) -> None:
    with loom.connect() as superuser:
        superuser.execute(statement.encode())


async def test_monitoring_role_reads_what_the_superuser_sees(watched: LoomDatabase) -> None:
    facts = await facts_of(watched)
    with watched.connect() as superuser:
        ((system, oid, version, started, extension, schema),) = ask(
            superuser,
            "SELECT (pg_control_system()).system_identifier, d.oid,"
            " current_setting('server_version_num'), pg_postmaster_start_time(),"
            " e.extversion, e.extnamespace::regnamespace::text"
            " FROM pg_database d, pg_extension e"
            " WHERE datname = 'loom' AND extname = 'pg_stat_statements'",
        )
        settings = {name: ask(superuser, f"SHOW {name}")[0][0] for name in SETTINGS}
    assert facts == ServerFacts(
        system_identifier=str(system),
        database_oid=oid,
        database_name="loom",
        server_version_num=int(version),
        postmaster_start=started,
        settings=settings,
        planner_sha256=facts.planner_sha256,
        extension_version=extension,
        extension_schema=schema,
    )
    assert facts.is_preloaded
    assert facts.postmaster_start.tzinfo is UTC
    assert facts.postmaster_start < datetime.now(UTC)


async def test_role_that_may_not_read_the_system_identifier_leaves_no_error_in_the_log(
    watched: LoomDatabase,
) -> None:
    before = await facts_of(watched)
    _run(watched, "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_control_system() FROM PUBLIC")
    log = follow(watched.server.log)
    facts = await facts_of(watched)
    assert facts.system_identifier is None
    assert facts.planner_sha256 == before.planner_sha256
    assert "ERROR" not in log()


@pytest.mark.parametrize(
    "setting", ["work_mem = '7MB'", "random_page_cost = 1.1", "enable_seqscan = off", "jit = off"]
)
async def test_planner_hash_changes_with_what_a_session_begins_with(
    loom: LoomDatabase, setting: str
) -> None:
    # Of these, jit is off in our own transactions whatever a session begins with.
    _run(loom, "ALTER DATABASE loom SET jit = on")
    before = await facts_of(loom, OWNER)
    _run(loom, f"ALTER DATABASE loom SET {setting}")
    assert (await facts_of(loom, OWNER)).planner_sha256 != before.planner_sha256


async def test_planner_hash_is_the_same_whatever_else_is_set_and_whoever_asks(
    watched: LoomDatabase,
) -> None:
    before = await facts_of(watched, OWNER)
    _run(watched, "ALTER DATABASE loom SET maintenance_work_mem = '7MB'")
    _run(watched, "ALTER DATABASE loom SET timezone = 'Asia/Tokyo'")
    _run(watched, "ALTER DATABASE loom SET datestyle = 'German, DMY'")
    assert await facts_of(watched, OWNER) == before
    assert await facts_of(watched) == before


def test_planner_hash_covers_planner_and_memory_of_each_version(loom: LoomDatabase) -> None:
    with loom.connect() as superuser:
        # The categories are in English here; elsewhere they need not be.
        left_out = ask(
            superuser,
            "SELECT name FROM pg_settings"
            " WHERE category ~ '^(Query Tuning|Resource Usage / Memory)' AND name !~ %s",
            PLANNER,
        )
    of_no_use_to_a_statement = {
        "autovacuum_work_mem",
        "commit_timestamp_buffers",
        "dynamic_shared_memory_type",
        "huge_page_size",
        "logical_decoding_work_mem",
        "maintenance_work_mem",
        "max_prepared_transactions",
        "max_stack_depth",
        "min_dynamic_shared_memory",
        "multixact_member_buffers",
        "multixact_offset_buffers",
        "notify_buffers",
        "serializable_buffers",
        "shared_memory_type",
        "subtransaction_buffers",
        "transaction_buffers",
        "vacuum_buffer_usage_limit",
    }
    assert {name for (name,) in left_out} <= of_no_use_to_a_statement


@only_18
async def test_database_without_the_extension_has_none(loom: LoomDatabase) -> None:
    _run(loom, "DROP EXTENSION pg_stat_statements")
    facts = await facts_of(loom, OWNER)
    assert (facts.extension_version, facts.extension_schema) == (None, None)
    assert facts.is_preloaded, "the library is the server's"


async def test_server_without_the_library_has_no_settings_of_it(new_server: NewServer) -> None:
    server = new_server(18, {"shared_preload_libraries": "", "pg_stat_statements.track": "all"})
    make_template(server)
    facts = await facts_of(make_database(server), OWNER)
    assert not facts.is_preloaded
    assert facts.settings.keys() == {"compute_query_id"}


async def test_database_that_is_made_anew_and_a_server_that_is_restarted_are_told_apart(
    new_loom: LoomDatabase,
) -> None:
    first = await facts_of(new_loom, OWNER)
    new_loom.server.restart()
    second = await facts_of(new_loom, OWNER)
    assert second.postmaster_start > first.postmaster_start
    third = await facts_of(make_database(new_loom.server), OWNER)
    assert third.database_oid != second.database_oid
    same = ("system_identifier", "database_name", "planner_sha256", "settings")
    for name in same:
        assert getattr(first, name) == getattr(second, name) == getattr(third, name)

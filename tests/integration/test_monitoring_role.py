"""The role that `loom-exporter grants` makes: it can watch, and do no harm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from exporter.database.grants import CONNECTION_LIMIT
from exporter.run_state import State
from tests.support.truth import ask
from tests.support.watching import FUNCTION_SCHEMA, MONITOR, deploy, install_grants, look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.loom_database import LoomDatabase

DENIED = psycopg.errors.InsufficientPrivilege


@pytest.fixture
def monitor(installed: LoomDatabase) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection of the monitoring role that has thrown off what it can of its reins."""
    with installed.connect(MONITOR) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("SET transaction_read_only = off")
        yield connection


def _tables(loom: LoomDatabase) -> list[sql.Identifier]:
    with loom.connect() as connection:
        names = ask(
            connection,
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname"
            " IN ('public', 'auth', 'storage', 'supabase_migrations') ORDER BY 1, 2",
        )
    assert len(names) > 15
    return [sql.Identifier(*name) for name in names]


def test_role_can_log_in_and_nothing_else(installed: LoomDatabase) -> None:
    with installed.connect() as connection:
        (attributes,) = ask(
            connection,
            "SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole,"
            " rolreplication, rolconnlimit FROM pg_roles WHERE rolname = %s",
            MONITOR,
        )
        memberships = ask(
            connection,
            "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = %s::regrole",
            MONITOR,
        )
    assert attributes == (True, False, False, False, False, False, CONNECTION_LIMIT)
    assert set(memberships) == {("pg_read_all_stats",)}


def test_role_gets_no_more_than_its_few_connections(installed: LoomDatabase) -> None:
    held = [installed.connect(MONITOR) for _ in range(CONNECTION_LIMIT)]
    try:
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            installed.connect(MONITOR)
    finally:
        for connection in held:
            connection.close()


def test_role_may_connect_where_the_public_may_not(bare: LoomDatabase) -> None:
    with bare.connect() as superuser:
        superuser.execute("REVOKE CONNECT ON DATABASE loom FROM PUBLIC")
    install_grants(bare)
    assert look(bare)["database"].state is State.OK


def test_role_reads_no_table_of_the_application(
    installed: LoomDatabase, monitor: psycopg.Connection[Any]
) -> None:
    deploy(installed, "healthy")
    views = ("user_mfa_status_unified", "users_with_active_mfa", "mfa_status_discrepancies")
    for table in [*_tables(installed), *(sql.Identifier("public", view) for view in views)]:
        with pytest.raises(DENIED):
            monitor.execute(sql.SQL("SELECT FROM {}").format(table))


def test_role_writes_nowhere(installed: LoomDatabase, monitor: psycopg.Connection[Any]) -> None:
    assert ask(monitor, "SHOW transaction_read_only") == [("off",)]  # it is not only the reins
    for table in _tables(installed):
        for change in ("INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}", "TRUNCATE {}"):
            with pytest.raises(DENIED):
                monitor.execute(sql.SQL(change).format(table))
    for statement in (
        "CREATE TABLE public.mine ()",
        f"CREATE TABLE {FUNCTION_SCHEMA}.mine ()",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        f"ALTER ROLE {MONITOR} BYPASSRLS",
        f"CREATE OR REPLACE FUNCTION {FUNCTION_SCHEMA}.mfa_users() RETURNS int"
        " LANGUAGE sql AS 'SELECT 1'",
        f"DROP FUNCTION {FUNCTION_SCHEMA}.mfa_users()",
        "SET ROLE postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'supabase_admin'",
    ):
        with pytest.raises(psycopg.Error) as refused:
            monitor.execute(statement.encode())
        assert refused.value.sqlstate in ("42501", "0LP01"), statement


def test_role_begins_with_a_net_below_the_limits_of_each_transaction(
    installed: LoomDatabase,
) -> None:
    with installed.connect(MONITOR) as connection:
        limits = {
            name: ask(connection, f"SHOW {name}")[0][0]
            for name in (
                "default_transaction_read_only",
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
            )
        }
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("CREATE TEMPORARY TABLE mine ()")
    assert limits == {
        "default_transaction_read_only": "on",
        "statement_timeout": "1min",
        "lock_timeout": "1s",
        "idle_in_transaction_session_timeout": "15s",
    }


def test_password_of_the_role_gives_what_the_operations_page_says(
    installed: LoomDatabase, monitor: psycopg.Connection[Any]
) -> None:
    with installed.connect() as superuser:
        superuser.execute(
            "CREATE FUNCTION public.note() RETURNS bigint LANGUAGE sql SECURITY DEFINER"
            " SET search_path = '' AS 'SELECT count(*) FROM public.users'"
        )
    assert ask(monitor, "SELECT public.note()") == [(200,)]
    monitor.execute("CREATE TEMPORARY TABLE mine ()")
    monitor.execute("SET idle_in_transaction_session_timeout = 0")
    password = installed.server.password
    monitor.execute(
        sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(MONITOR), sql.Literal(password))
    )
    assert ask(monitor, "SELECT query <> '<insufficient privilege>' FROM pg_stat_activity")

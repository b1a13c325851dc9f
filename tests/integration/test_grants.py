"""What `loom-exporter grants` installs: enough to watch, and nothing to do harm with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from exporter.database.grants import CONNECTION_LIMIT, SCHEMA, grants_sql
from exporter.database.outcome import State
from tests.watching import (
    MONITOR,
    OWNER,
    catalog_of,
    deploy,
    install_grants,
    look,
    one_query,
    roll_back,
    shipped,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.catalog import Query
    from tests.loom_database import LoomDatabase

DEFINERS = {query.name for query in shipped().queries if query.header.access == "definer"}
DENIED = psycopg.errors.InsufficientPrivilege
API_ROLES = ("anon", "authenticated", "service_role", "authenticator")


@pytest.fixture
def bare(loom: LoomDatabase) -> LoomDatabase:
    """Return a database on a server that has never heard of the monitoring role."""
    with loom.connect() as connection:
        if _rows(connection, "SELECT FROM pg_roles WHERE rolname = %s", MONITOR):
            connection.execute(f"DROP OWNED BY {MONITOR}; DROP ROLE {MONITOR}".encode())
    return loom


@pytest.fixture
def installed(bare: LoomDatabase) -> LoomDatabase:
    """Return a database with everything that grants install, before the deployment."""
    install_grants(bare)
    return bare


@pytest.fixture
def monitor(installed: LoomDatabase) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection of the monitoring role that has thrown off what it can of its reins."""
    with installed.connect(MONITOR) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("SET transaction_read_only = off")
        yield connection


def _rows(
    connection: psycopg.Connection[Any], text: str, *parameters: object
) -> list[tuple[Any, ...]]:
    return connection.execute(text.encode(), parameters).fetchall()


def _tables(loom: LoomDatabase) -> list[sql.Identifier]:
    with loom.connect() as connection:
        names = _rows(
            connection,
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname"
            " IN ('public', 'auth', 'storage', 'supabase_migrations') ORDER BY 1, 2",
        )
    assert len(names) > 15
    return [sql.Identifier(*name) for name in names]


# ── The role ─────────────────────────────────────────────────────────────────────────────────────


def test_role_can_log_in_and_nothing_else(installed: LoomDatabase) -> None:
    with installed.connect() as connection:
        (attributes,) = _rows(
            connection,
            "SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole,"
            " rolreplication, rolconnlimit FROM pg_roles WHERE rolname = %s",
            MONITOR,
        )
        memberships = _rows(
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


def test_role_reads_no_table_of_the_application(
    installed: LoomDatabase, monitor: psycopg.Connection[Any]
) -> None:
    deploy(installed, "healthy")
    views = ("user_mfa_status_unified", "users_with_active_mfa", "mfa_status_discrepancies")
    for table in [*_tables(installed), *(sql.Identifier("public", view) for view in views)]:
        with pytest.raises(DENIED):
            monitor.execute(sql.SQL("SELECT FROM {}").format(table))


def test_role_writes_nowhere(installed: LoomDatabase, monitor: psycopg.Connection[Any]) -> None:
    assert _rows(monitor, "SHOW transaction_read_only") == [("off",)]  # it is not only the reins
    for table in _tables(installed):
        for change in ("INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}", "TRUNCATE {}"):
            with pytest.raises(DENIED):
                monitor.execute(sql.SQL(change).format(table))
    for statement in (
        "CREATE TABLE public.mine ()",
        f"CREATE TABLE {SCHEMA}.mine ()",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        f"ALTER ROLE {MONITOR} BYPASSRLS",
        f"CREATE OR REPLACE FUNCTION {SCHEMA}.mfa_users() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        f"DROP FUNCTION {SCHEMA}.mfa_users()",
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
            name: _rows(connection, f"SHOW {name}")[0][0]
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


# ── The functions ────────────────────────────────────────────────────────────────────────────────


def test_functions_are_those_of_the_queries_that_read_tables(installed: LoomDatabase) -> None:
    with installed.connect() as connection:
        functions = _rows(
            connection,
            "SELECT proname, prosecdef, provolatile::text, proconfig, proowner::regrole::text,"
            " prosqlbody IS NULL FROM pg_proc WHERE pronamespace = %s::regnamespace",
            SCHEMA,
        )
    assert len(DEFINERS) > 10
    assert {name for name, *_ in functions} == DEFINERS
    settings = ["search_path=pg_catalog, pg_temp", "row_security=off"]
    for name, *attributes in functions:
        assert attributes == [True, "s", settings, OWNER, True], name


def test_functions_may_be_executed_by_the_role_alone(installed: LoomDatabase) -> None:
    with installed.connect() as connection:
        allowed = _rows(
            connection,
            "SELECT DISTINCT p.proname, acl.grantee::regrole::text FROM pg_proc AS p,"
            " aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS acl"
            " WHERE p.pronamespace = %s::regnamespace AND acl.grantee <> p.proowner",
            SCHEMA,
        )
        assert set(allowed) == {(name, MONITOR) for name in DEFINERS}
        for role in API_ROLES[:-1]:
            connection.execute(f"SET ROLE {role}".encode())
            with pytest.raises(DENIED):
                connection.execute(f"SELECT * FROM {SCHEMA}.mfa_users()".encode())
    with installed.connect("authenticator") as connection, pytest.raises(DENIED):
        connection.execute(f"SELECT * FROM {SCHEMA}.mfa_users()".encode())
    with installed.connect(MONITOR) as connection:
        assert _rows(connection, f"SELECT users FROM {SCHEMA}.mfa_users()") == [(200,)]


def test_function_finds_nothing_where_its_caller_says(bare: LoomDatabase) -> None:
    users = one_query("SELECT count(*) AS value FROM users", "access: definer", name="users")
    roles = one_query("SELECT count(*) AS value FROM pg_roles", "access: definer", name="roles")
    install_grants(bare, catalog_of(users, roles))
    with bare.connect(MONITOR) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("SET search_path = public")
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute(f"SELECT * FROM {SCHEMA}.users()".encode())
        # Temporary objects come first for those who do not put them last.
        connection.execute("CREATE TEMPORARY TABLE pg_roles ()")
        assert _rows(connection, "SELECT count(*) FROM pg_roles") == [(0,)]
        ((number,),) = _rows(connection, f"SELECT value FROM {SCHEMA}.roles()")
        assert number > 5


def test_grants_can_be_installed_again(installed: LoomDatabase) -> None:
    def everything() -> list[tuple[Any, ...]]:
        with installed.connect() as connection:
            return _rows(
                connection,
                "SELECT proname, prosrc, proacl::text, proconfig, obj_description(p.oid),"
                " r.rolconnlimit, r.rolconfig, n.nspacl::text"
                " FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = pronamespace,"
                " pg_roles AS r WHERE nspname = %s AND rolname = %s ORDER BY 1",
                SCHEMA,
                MONITOR,
            )

    first = everything()
    assert len(first) == len(DEFINERS)
    for _ in range(2):
        install_grants(installed)
        assert everything() == first


def test_function_of_a_query_that_is_no_more_goes_away(installed: LoomDatabase) -> None:
    install_grants(
        installed, catalog_of(*(query for query in shipped().queries if query.name != "mfa_users"))
    )
    with installed.connect() as connection:
        left = _rows(
            connection, "SELECT proname FROM pg_proc WHERE pronamespace = %s::regnamespace", SCHEMA
        )
    assert {name for (name,) in left} == DEFINERS - {"mfa_users"}


def test_grants_by_an_owner_who_may_not_give_statistics_away_say_so_and_install_the_rest(
    bare: LoomDatabase,
) -> None:
    notices: list[str] = []
    with bare.connect() as superuser:
        superuser.execute(
            "DROP ROLE IF EXISTS lesser; CREATE ROLE lesser LOGIN CREATEROLE BYPASSRLS;"
            " GRANT CREATE ON DATABASE loom TO lesser"
        )
        bare.allow_login("lesser")
        with bare.connect("lesser") as connection:
            connection.add_notice_handler(
                lambda notice: notices.append(f"{notice.severity}: {notice.message_primary}")
            )
            connection.execute(grants_sql(shipped().queries).encode())
        functions = _rows(
            superuser, "SELECT FROM pg_proc WHERE pronamespace = %s::regnamespace", SCHEMA
        )
        superuser.execute(
            f"DROP OWNED BY {MONITOR}, lesser; DROP ROLE {MONITOR}; DROP ROLE lesser".encode()
        )
    warning = f"WARNING: ask a superuser to run: GRANT pg_read_all_stats TO {MONITOR};"
    # Before 16, CREATEROLE is enough to give pg_read_all_stats away.
    assert notices == ([warning] if bare.server.version >= 16 else [])
    assert len(functions) == len(DEFINERS)


# ── The functions and the deployment ─────────────────────────────────────────────────────────────


def test_grants_install_where_nothing_of_the_application_exists(bare: LoomDatabase) -> None:
    with bare.connect() as connection:
        connection.execute(
            "DROP SCHEMA public, auth, storage, supabase_migrations CASCADE;"
            " CREATE SCHEMA public AUTHORIZATION pg_database_owner"
        )
    install_grants(bare)
    seen = look(bare)
    allowed = {State.OK, State.EMPTY, State.ABSENT}
    assert {name: each.detail for name, each in seen.items() if each.state not in allowed} == {}
    # And nothing is made up of what is not there.
    assert {name for name in DEFINERS if seen[name].state is not State.ABSENT} == set()
    assert not any(seen[name].samples for name in DEFINERS)
    deploying = seen["deployment_objects"].samples["loom_deployment_object_present"]
    assert set(deploying.values()) == {0}


def test_functions_hold_up_no_migration_that_drops_what_they_read(
    installed: LoomDatabase,
) -> None:
    deploy(installed, "healthy")
    install_grants(installed)  # now with all objects there
    with installed.connect(OWNER) as connection:
        # No CASCADE: a dependency of ours would be an error here.
        connection.execute(
            "DROP VIEW public.users_with_active_mfa, public.mfa_status_discrepancies;"
            " DROP MATERIALIZED VIEW public.user_mfa_status_unified;"
            " DROP TABLE public.mfa_verification_attempts;"
            " ALTER TABLE public.users DROP COLUMN mfa_backup_codes"
        )
    assert look(installed, _shipped("mfa_verifications"))["mfa_verifications"].state is State.ABSENT


def test_rollback_takes_none_of_the_functions_with_it(installed: LoomDatabase) -> None:
    deploy(installed, "healthy")
    install_grants(installed)
    roll_back(installed)  # by DROP ... CASCADE
    with installed.connect() as connection:
        left = _rows(
            connection, "SELECT FROM pg_proc WHERE pronamespace = %s::regnamespace", SCHEMA
        )
    assert len(left) == len(DEFINERS)


# ── Functions and files ──────────────────────────────────────────────────────────────────────────


def _shipped(name: str) -> Query:
    query = shipped().query(name)
    assert query is not None
    return query


def test_owner_under_row_level_security_makes_a_function_denied_and_never_a_number(
    installed: LoomDatabase,
) -> None:
    with installed.connect() as superuser:
        superuser.execute(
            "DROP ROLE IF EXISTS plain; CREATE ROLE plain NOBYPASSRLS;"
            " GRANT SELECT ON public.users TO plain;"
            f" ALTER FUNCTION {SCHEMA}.mfa_users() OWNER TO plain;"
            f" GRANT USAGE ON SCHEMA public, {SCHEMA} TO plain".encode()
        )
        superuser.execute("SET ROLE plain")
        # This is the lie: everybody is invisible.
        assert _rows(superuser, "SELECT count(*) FROM public.users") == [(0,)]
        superuser.execute("RESET ROLE")
        with installed.connect(MONITOR) as by_hand, pytest.raises(DENIED):
            by_hand.execute(f"SELECT users FROM {SCHEMA}.mfa_users()".encode())
        seen = look(installed, _shipped("mfa_users"))["mfa_users"]
        superuser.execute("DROP OWNED BY plain; DROP ROLE plain")
    assert seen.state is State.DENIED
    assert "row-level security" in seen.detail
    assert not seen.samples


def test_changed_text_is_outdated_until_grants_are_installed_again(bare: LoomDatabase) -> None:
    old = one_query("SELECT count(*) AS value FROM public.users", "access: definer")
    install_grants(bare, catalog_of(old))
    assert look(bare, old)["probe"].samples == {"probe": {(): 200}}
    new = replace(old, text="SELECT count(*) / 2 AS value FROM public.users")
    seen = look(bare, new)["probe"]
    assert (seen.state, dict(seen.samples)) == (State.OUTDATED, {})
    assert "loom-exporter grants" in seen.detail
    install_grants(bare, catalog_of(new))
    assert look(bare, new)["probe"].samples == {"probe": {(): 100}}


def test_changed_column_is_outdated_until_grants_are_installed_again(bare: LoomDatabase) -> None:
    sql_text = "SELECT 'a' AS kind, count(*) AS value FROM public.users"
    old = one_query(sql_text, "access: definer")
    labelled = one_query(
        sql_text,
        "access: definer\n"
        "metrics: {probe: {type: gauge, help: A probe., labels: [kind], value: value}}",
    )
    install_grants(bare, catalog_of(old))
    assert look(bare, labelled)["probe"].state is State.OUTDATED
    install_grants(bare, catalog_of(labelled))
    assert look(bare, labelled)["probe"].samples == {"probe": {("a",): 200}}


def test_text_with_quotes_of_every_kind_is_installed_as_it_is(bare: LoomDatabase) -> None:
    query = one_query(
        "SELECT length($query$it's$query$ || $query0$\\ %s %(a)s$query0$) AS value",
        "access: definer",
    )
    install_grants(bare, catalog_of(query))
    seen = look(bare, query)["probe"]
    assert seen.state is State.OK, seen.detail
    assert seen.samples == {"probe": {(): len("it's") + len("\\ %s %(a)s")}}


def test_without_its_function_a_query_runs_with_the_rights_of_the_role_itself(
    installed: LoomDatabase,
) -> None:
    query = _shipped("mfa_users")
    with installed.connect(OWNER) as connection:
        connection.execute(f"DROP FUNCTION {SCHEMA}.mfa_users()".encode())
    seen = look(installed, query)["mfa_users"]
    assert (seen.state, dict(seen.samples)) == (State.DENIED, {})
    assert look(installed, query, user=OWNER)["mfa_users"].samples["loom_users"] == {(): 200}


def test_role_that_may_not_execute_the_function_is_denied(installed: LoomDatabase) -> None:
    seen = look(installed, _shipped("mfa_users"), user="authenticator")["mfa_users"]
    assert (seen.state, dict(seen.samples)) == (State.DENIED, {})

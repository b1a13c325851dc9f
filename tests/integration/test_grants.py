"""What `loom-exporter grants` installs: functions to watch with, which hold up no deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from exporter.database.grants import grants_sql
from exporter.run_state import State
from tests.support.shipped_queries import shipped_query
from tests.support.truth import ask
from tests.support.watching import (
    FUNCTION_SCHEMA,
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
    from tests.support.loom_database import LoomDatabase

DEFINERS = {query.name for query in shipped().queries if query.header.access == "definer"}
DENIED = psycopg.errors.InsufficientPrivilege
API_ROLES = ("anon", "authenticated", "service_role", "authenticator")


# ── The functions ────────────────────────────────────────────────────────────────────────────────


def test_functions_are_those_of_the_queries_that_read_tables(installed: LoomDatabase) -> None:
    with installed.connect() as connection:
        functions = ask(
            connection,
            "SELECT proname, prosecdef, provolatile::text, proconfig, proowner::regrole::text,"
            " prosqlbody IS NULL FROM pg_proc WHERE pronamespace = %s::regnamespace",
            FUNCTION_SCHEMA,
        )
    assert len(DEFINERS) > 10
    assert {name for name, *_ in functions} == DEFINERS
    settings = ["search_path=pg_catalog, pg_temp", "row_security=off"]
    for name, *attributes in functions:
        assert attributes == [True, "s", settings, OWNER, True], name


def test_functions_may_be_executed_by_the_role_alone(installed: LoomDatabase) -> None:
    with installed.connect() as connection:
        allowed = ask(
            connection,
            "SELECT DISTINCT p.proname, acl.grantee::regrole::text FROM pg_proc AS p,"
            " aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS acl"
            " WHERE p.pronamespace = %s::regnamespace AND acl.grantee <> p.proowner",
            FUNCTION_SCHEMA,
        )
        assert set(allowed) == {(name, MONITOR) for name in DEFINERS}
        for role in API_ROLES[:-1]:
            connection.execute(f"SET ROLE {role}".encode())
            with pytest.raises(DENIED):
                connection.execute(f"SELECT * FROM {FUNCTION_SCHEMA}.mfa_users()".encode())
    with installed.connect("authenticator") as connection, pytest.raises(DENIED):
        connection.execute(f"SELECT * FROM {FUNCTION_SCHEMA}.mfa_users()".encode())
    with installed.connect(MONITOR) as connection:
        assert ask(connection, f"SELECT users FROM {FUNCTION_SCHEMA}.mfa_users()") == [(200,)]


def test_function_finds_nothing_where_its_caller_says(bare: LoomDatabase) -> None:
    users = one_query("SELECT count(*) AS value FROM users", "access: definer", name="users")
    roles = one_query("SELECT count(*) AS value FROM pg_roles", "access: definer", name="roles")
    install_grants(bare, catalog_of(users, roles))
    with bare.connect(MONITOR) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("SET search_path = public")
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute(f"SELECT * FROM {FUNCTION_SCHEMA}.users()".encode())
        # Temporary objects come first for those who do not put them last.
        connection.execute("CREATE TEMPORARY TABLE pg_roles ()")
        assert ask(connection, "SELECT count(*) FROM pg_roles") == [(0,)]
        ((number,),) = ask(connection, f"SELECT value FROM {FUNCTION_SCHEMA}.roles()")
        assert number > 5


def test_grants_can_be_installed_again(installed: LoomDatabase) -> None:
    def everything() -> list[tuple[Any, ...]]:
        with installed.connect() as connection:
            return ask(
                connection,
                "SELECT proname, prosrc, proacl::text, proconfig, obj_description(p.oid),"
                " r.rolconnlimit, r.rolconfig, n.nspacl::text"
                " FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = pronamespace,"
                " pg_roles AS r WHERE nspname = %s AND rolname = %s ORDER BY 1",
                FUNCTION_SCHEMA,
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
        left = ask(
            connection,
            "SELECT proname FROM pg_proc WHERE pronamespace = %s::regnamespace",
            FUNCTION_SCHEMA,
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
            connection.execute(grants_sql(shipped()).encode())
        functions = ask(
            superuser, "SELECT FROM pg_proc WHERE pronamespace = %s::regnamespace", FUNCTION_SCHEMA
        )
        superuser.execute(
            f"DROP OWNED BY {MONITOR}, lesser; DROP ROLE {MONITOR}; DROP ROLE lesser".encode()
        )
    warning = f"WARNING: somebody with ADMIN OPTION must run: GRANT pg_read_all_stats TO {MONITOR};"
    usage = (
        "WARNING: ask the owner of schema extensions to run:"
        f" GRANT USAGE ON SCHEMA extensions TO {MONITOR};"
    )
    # Before 16, CREATEROLE is enough to give pg_read_all_stats away.
    public = notices.pop()
    assert notices == ([warning, usage] if bare.server.version >= 16 else [usage])
    assert public.startswith(f"WARNING: {MONITOR} may execute ")
    assert "SECURITY DEFINER functions, as everybody may: public." in public
    assert len(functions) == len(DEFINERS)


def test_who_may_give_away_only_the_wider_role_gives_that_one(bare: LoomDatabase) -> None:
    with bare.connect() as superuser:
        superuser.execute(
            "DROP ROLE IF EXISTS lesser; CREATE ROLE lesser LOGIN CREATEROLE BYPASSRLS;"
            " GRANT pg_monitor TO lesser WITH ADMIN OPTION;"
            " GRANT CREATE ON DATABASE loom TO lesser"
        )
        bare.allow_login("lesser")
        with bare.connect("lesser") as connection:
            connection.execute(grants_sql(shipped()).encode())
        (sees,) = ask(superuser, "SELECT pg_has_role(%s, 'pg_read_all_stats', 'USAGE')", MONITOR)
        superuser.execute(
            f"DROP OWNED BY {MONITOR}, lesser; DROP ROLE {MONITOR}; DROP ROLE lesser".encode()
        )
    assert sees == (True,)


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
    assert (
        look(installed, shipped_query("mfa_verifications"))["mfa_verifications"].state
        is State.ABSENT
    )


def test_rollback_takes_none_of_the_functions_with_it(installed: LoomDatabase) -> None:
    deploy(installed, "healthy")
    install_grants(installed)
    roll_back(installed)  # by DROP ... CASCADE
    with installed.connect() as connection:
        left = ask(
            connection, "SELECT FROM pg_proc WHERE pronamespace = %s::regnamespace", FUNCTION_SCHEMA
        )
    assert len(left) == len(DEFINERS)

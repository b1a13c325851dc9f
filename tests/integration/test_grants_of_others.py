"""What somebody else has made is not taken over, and what was changed afterwards is not called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from exporter.database.grants import CONNECTION_LIMIT, grants_sql
from exporter.run_state import State
from tests.support.marks import only_18
from tests.support.probes import USERS
from tests.support.truth import ask
from tests.support.watching import (
    FUNCTION_SCHEMA,
    MONITOR,
    OWNER,
    catalog_of,
    install_grants,
    look,
    one_query,
    shipped,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.loom_database import LoomDatabase

pytestmark = only_18


@pytest.fixture
def superuser(bare: LoomDatabase) -> Iterator[psycopg.Connection[Any]]:
    """Return a superuser's connection, beside a role `eve` that has nothing yet."""
    with bare.connect() as connection:
        connection.execute("DROP ROLE IF EXISTS eve; CREATE ROLE eve LOGIN")
        yield connection
        connection.execute("DROP OWNED BY eve CASCADE; DROP ROLE eve")


def _refusal(loom: LoomDatabase) -> str:
    with loom.connect(OWNER) as connection, pytest.raises(psycopg.errors.RaiseException) as refused:
        connection.execute(grants_sql(shipped()).encode())
    return str(refused.value)


def test_schema_of_somebody_else_is_not_taken_over(
    bare: LoomDatabase, superuser: psycopg.Connection[Any]
) -> None:
    superuser.execute(f"CREATE SCHEMA {FUNCTION_SCHEMA} AUTHORIZATION eve".encode())
    superuser.execute(f"GRANT ALL ON SCHEMA {FUNCTION_SCHEMA} TO {OWNER}".encode())
    assert f"schema {FUNCTION_SCHEMA} belongs to eve" in _refusal(bare)


@pytest.mark.parametrize("right", ["BYPASSRLS", "CREATEROLE", "SUPERUSER", "CREATEDB"])
def test_role_with_more_rights_is_not_taken_over(
    bare: LoomDatabase, superuser: psycopg.Connection[Any], right: str
) -> None:
    superuser.execute(f"CREATE ROLE {MONITOR} LOGIN {right}".encode())
    try:
        assert "more rights than a monitor may have" in _refusal(bare)
    finally:
        superuser.execute(f"DROP ROLE {MONITOR}".encode())


def test_role_that_owns_something_is_not_taken_over(
    bare: LoomDatabase, superuser: psycopg.Connection[Any]
) -> None:
    superuser.execute(f"CREATE ROLE {MONITOR} LOGIN".encode())
    superuser.execute(f"CREATE SCHEMA work AUTHORIZATION {MONITOR}".encode())
    try:
        assert "owns objects" in _refusal(bare)
    finally:
        superuser.execute(f"DROP OWNED BY {MONITOR}; DROP ROLE {MONITOR}".encode())


def test_others_lose_their_rights_to_the_schema(
    bare: LoomDatabase, superuser: psycopg.Connection[Any]
) -> None:
    install_grants(bare)
    superuser.execute(f"GRANT ALL ON SCHEMA {FUNCTION_SCHEMA} TO eve".encode())
    install_grants(bare)
    rights = ask(
        superuser, "SELECT has_schema_privilege('eve', %s, 'USAGE, CREATE')", FUNCTION_SCHEMA
    )
    assert rights == [(False,)]


def test_installation_goes_on_where_it_is_ones_own(
    bare: LoomDatabase, superuser: psycopg.Connection[Any]
) -> None:
    install_grants(bare)
    install_grants(bare)
    assert look(bare)["mfa_users"].state is not State.OUTDATED


CHANGES = {
    "search_path": "ALTER FUNCTION {} SET search_path = eve, pg_catalog",
    "no settings": "ALTER FUNCTION {} RESET ALL",
    "row security": "ALTER FUNCTION {} SET row_security = on",
    "another setting": "ALTER FUNCTION {} SET enable_seqscan = off",
    "rights of the caller": "ALTER FUNCTION {} SECURITY INVOKER",
    "another owner": "ALTER FUNCTION {} OWNER TO eve",
    "the monitor as its owner": f"ALTER FUNCTION {{}} OWNER TO {MONITOR}",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_function_with_the_same_body_that_is_not_as_it_was_made_is_not_called(
    bare: LoomDatabase, superuser: psycopg.Connection[Any], change: str
) -> None:
    query = one_query(USERS, "access: definer")
    install_grants(bare, catalog_of(query))
    assert look(bare, query)["probe"].samples == {"probe": {(): 200.0}}
    superuser.execute(f"GRANT CREATE ON SCHEMA {FUNCTION_SCHEMA} TO eve, {MONITOR}".encode())
    superuser.execute(change.format(f"{FUNCTION_SCHEMA}.probe()").encode())
    seen = look(bare, query)["probe"]
    assert (seen.state, dict(seen.samples)) == (State.OUTDATED, {})
    assert "another owner, search_path or right" in seen.detail
    if "OWNER TO" not in change:
        install_grants(bare, catalog_of(query))
        assert look(bare, query)["probe"].samples == {"probe": {(): 200.0}}


@pytest.mark.parametrize(
    ("limit", "left"), [(3, CONNECTION_LIMIT), (50, 50), (-1, -1), (0, CONNECTION_LIMIT)]
)
def test_higher_limit_of_an_administrator_is_left(
    bare: LoomDatabase, superuser: psycopg.Connection[Any], limit: int, left: int
) -> None:
    install_grants(bare)
    superuser.execute(f"ALTER ROLE {MONITOR} CONNECTION LIMIT {limit}".encode())
    install_grants(bare)
    assert ask(superuser, "SELECT rolconnlimit FROM pg_roles WHERE rolname = %s", MONITOR) == [
        (left,)
    ]


def test_lack_of_createrole_is_told(bare: LoomDatabase, superuser: psycopg.Connection[Any]) -> None:
    bare.allow_login("eve")
    with bare.connect("eve") as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute(grants_sql(shipped()).encode())
    assert "role eve may not create loom_monitor" in str(refused.value)
    assert "CREATEROLE" in (refused.value.diag.message_hint or "")


def test_what_everybody_may_execute_is_told(
    bare: LoomDatabase, superuser: psycopg.Connection[Any]
) -> None:
    told: list[str] = []

    def install() -> str:
        told.clear()
        with bare.connect(OWNER) as connection:
            connection.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
            connection.execute(grants_sql(shipped()).encode())
        return " ".join(told)

    assert "SECURITY DEFINER functions, as everybody may" in install()
    superuser.execute("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC")
    assert "as everybody may: public." not in install()

"""Queries that run by functions of their owner: held to their files, and to what the owner sees."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest

from exporter.run_state import State
from exporter.sources.inspection import inspect
from tests.support.probes import LABELLED, USERS
from tests.support.shipped_queries import shipped_query
from tests.support.truth import ask
from tests.support.watching import (
    FUNCTION_SCHEMA,
    MONITOR,
    OWNER,
    catalog_of,
    install_grants,
    look,
    one_query,
    patient,
)

if TYPE_CHECKING:
    from tests.support.loom_database import LoomDatabase


def test_owner_under_row_level_security_gives_no_number_through_a_function(
    installed: LoomDatabase,
) -> None:
    with installed.connect() as superuser:
        superuser.execute(
            "DROP ROLE IF EXISTS plain; CREATE ROLE plain NOBYPASSRLS;"
            " GRANT SELECT ON public.users TO plain;"
            f" ALTER FUNCTION {FUNCTION_SCHEMA}.mfa_users() OWNER TO plain;"
            f" GRANT USAGE ON SCHEMA public, {FUNCTION_SCHEMA} TO plain".encode()
        )
        superuser.execute("SET ROLE plain")
        # This is the lie: everybody is invisible.
        assert ask(superuser, "SELECT count(*) FROM public.users") == [(0,)]
        superuser.execute("RESET ROLE")
        with (
            installed.connect(MONITOR) as by_hand,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            by_hand.execute(f"SELECT users FROM {FUNCTION_SCHEMA}.mfa_users()".encode())
        seen = look(installed, shipped_query("mfa_users"))["mfa_users"]
        superuser.execute("DROP OWNED BY plain; DROP ROLE plain")
    # A function of another owner is not called at all: it may be anything.
    assert (seen.state, dict(seen.samples)) == (State.OUTDATED, {})
    assert not seen.samples


def test_changed_text_is_outdated_until_grants_are_installed_again(bare: LoomDatabase) -> None:
    old = one_query(USERS, "access: definer")
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
        f"access: definer\n{LABELLED}",
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
    query = shipped_query("mfa_users")
    with installed.connect(OWNER) as connection:
        connection.execute(f"DROP FUNCTION {FUNCTION_SCHEMA}.mfa_users()".encode())
    seen = look(installed, query)["mfa_users"]
    assert (seen.state, dict(seen.samples)) == (State.DENIED, {})
    assert look(installed, query, user=OWNER)["mfa_users"].samples["loom_users"] == {(): 200}


def test_role_that_may_not_execute_the_function_is_denied(installed: LoomDatabase) -> None:
    seen = look(installed, shipped_query("mfa_users"), user="authenticator")["mfa_users"]
    assert (seen.state, dict(seen.samples)) == (State.DENIED, {})


def test_query_that_may_not_read_a_table_is_told_of_access_definer(installed: LoomDatabase) -> None:
    direct = one_query(USERS)
    definer = one_query(USERS, "access: definer")
    said = {
        access: look(installed, query)["probe"].detail
        for access, query in (("direct", direct), ("definer", definer))
    }
    assert "write `access: definer` in the header of the query" in said["direct"]
    assert "access: definer" not in said["definer"]
    for query, told in ((direct, said["direct"]), (definer, said["definer"])):
        assert "(42501); " in told
        assert "run what `loom-exporter grants` prints" in told
        (finding,) = inspect(installed.dsn(MONITOR), [patient(query)])
        assert finding.detail == told

"""Several packs on one database, and several databases for one role: each is left what it has."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from exporter.database.grants import (
    CONNECTION_LIMIT,
    CONNECTIONS_EACH,
    function_name,
    function_schema,
    grants_sql,
)
from exporter.database.probe_grants import CONNECTIONS_SPARE, PROBE_ROLE, probe_grants_sql
from exporter.run_state import State
from tests.support.probes import USERS
from tests.support.truth import ask
from tests.support.watching import MONITOR, OWNER, catalog_of, install_grants, look, one_query

if TYPE_CHECKING:
    from exporter.catalog import Catalog, Query
    from tests.support.loom_database import LoomDatabase

pytestmark = pytest.mark.parametrize("server", [15, 18], indirect=True)

HALF = "SELECT count(*) / 2 AS value FROM public.users"
LIMIT = "SELECT rolconnlimit FROM pg_roles WHERE rolname = %s"


def _pack(name: str, *queries: Query) -> Catalog:
    catalog = catalog_of(*(replace(query, pack=name) for query in queries))
    deployment = catalog.deployment.model_copy(update={"name": name})
    return replace(catalog, deployment=deployment)


SHOP = _pack("shop", one_query(USERS, "access: definer", name="orders"))
SAME = _pack("hr", *SHOP.queries, one_query(USERS, "access: definer", name="people"))
OTHER = _pack("hr", one_query(HALF, "access: definer", name="orders"))


def _values(loom: LoomDatabase, *packs: Catalog) -> dict[str, object]:
    return {
        function_name(query): dict(look(loom, query)[query.name].samples["probe"])
        for pack in packs
        for query in pack.queries
    }


def _functions(loom: LoomDatabase) -> dict[str, str]:
    with loom.connect() as connection:
        found = ask(
            connection,
            "SELECT n.nspname || '.' || p.proname || '()', obj_description(p.oid, 'pg_proc')"
            " FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace"
            " WHERE starts_with(n.nspname, 'loom_monitor')",
        )
    return dict(found)


@pytest.mark.parametrize("other", [SAME, OTHER], ids=["same text", "another text"])
@pytest.mark.parametrize("order", [(0, 1, 0, 1), (1, 0, 0, 1)])
def test_packs_with_a_function_of_one_name_live_side_by_side(
    bare: LoomDatabase, other: Catalog, order: tuple[int, ...]
) -> None:
    packs = (SHOP, other)
    for number in order:
        install_grants(bare, packs[number])
    installed = {function_name(query) for pack in packs for query in pack.queries}
    comments = _functions(bare)
    assert comments.keys() == installed
    assert comments["loom_monitor_shop.orders()"] == "Pack shop: A probe."
    assert comments["loom_monitor_hr.orders()"] == "Pack hr: A probe."
    values = _values(bare, *packs)
    assert values["loom_monitor_shop.orders()"] == {(): 200}
    assert values["loom_monitor_hr.orders()"] == ({(): 200} if other is SAME else {(): 100})


def test_function_of_a_query_that_is_no_more_goes_away_in_its_own_pack_only(
    bare: LoomDatabase,
) -> None:
    for pack in (SAME, SHOP, OTHER):
        install_grants(bare, pack)
    assert _functions(bare).keys() == {"loom_monitor_shop.orders()", "loom_monitor_hr.orders()"}


def test_other_packs_are_named_and_left_to_the_administrator(bare: LoomDatabase) -> None:
    install_grants(bare, SHOP)
    notices: list[str] = []
    with bare.connect(OWNER) as connection:
        connection.add_notice_handler(
            lambda notice: notices.append(f"{notice.message_primary} | {notice.message_hint}")
        )
        connection.execute(grants_sql(OTHER).encode())
    assert (
        "left alone: schema loom_monitor_shop (loom-exporter pack shop) | "
        "If nothing uses it any more: DROP SCHEMA loom_monitor_shop CASCADE;"
    ) in notices


def test_packs_whose_names_become_one_schema_are_refused(bare: LoomDatabase) -> None:
    dash, dot = _pack("shop-eu", *SHOP.queries), _pack("shop.eu", *SHOP.queries)
    assert function_schema("shop-eu") == function_schema("shop.eu")
    install_grants(bare, dash)
    with bare.connect(OWNER) as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute(grants_sql(dot).encode())
    diag = refused.value.diag
    assert diag.message_primary == (
        "schema loom_monitor_shop_eu is not of the pack shop.eu: loom-exporter pack shop-eu"
    )
    assert "Change `name` in one of the two" in (diag.message_hint or "")


def test_packs_of_two_owners_live_side_by_side(bare: LoomDatabase) -> None:
    install_grants(bare, SHOP)
    with bare.connect() as superuser:
        superuser.execute(
            "DROP ROLE IF EXISTS lesser; CREATE ROLE lesser LOGIN BYPASSRLS;"
            " GRANT CREATE ON DATABASE loom TO lesser; GRANT USAGE ON SCHEMA public TO lesser;"
            " GRANT SELECT ON public.users TO lesser"
        )
        bare.allow_login("lesser")
        warnings: list[str] = []
        with bare.connect("lesser") as connection:
            connection.add_notice_handler(
                lambda notice: warnings.append(notice.message_primary or "")
            )
            connection.execute(grants_sql(OTHER).encode())
        assert _values(bare, SHOP, OTHER) == {
            "loom_monitor_shop.orders()": {(): 200},
            "loom_monitor_hr.orders()": {(): 100},
        }
        # It has no CREATEROLE, so it is said what somebody else must still run.
        needed = "somebody with CREATEROLE must run: ALTER ROLE loom_monitor CONNECTION LIMIT 8;"
        assert needed in warnings
        assert not any("SET statement_timeout" in warning for warning in warnings)
        superuser.execute(b"DROP OWNED BY lesser; DROP ROLE lesser")


def test_owner_without_createrole_installs_into_a_role_that_somebody_has_made(
    bare: LoomDatabase,
) -> None:
    with bare.connect() as superuser:
        superuser.execute(
            "DROP ROLE IF EXISTS lesser; CREATE ROLE lesser LOGIN BYPASSRLS;"
            " GRANT CREATE ON DATABASE loom TO lesser; GRANT USAGE ON SCHEMA public TO lesser;"
            " GRANT SELECT ON public.users TO lesser;"
        )
        bare.allow_login("lesser")
        warnings: list[str] = []
        with bare.connect("lesser") as connection:
            connection.add_notice_handler(
                lambda notice: warnings.append(notice.message_primary or "")
            )
            with pytest.raises(psycopg.errors.RaiseException) as refused:
                connection.execute(grants_sql(SHOP).encode())
            connection.rollback()
            (command,) = (refused.value.diag.message_hint or "").rpartition("run: ")[2:]
            assert command == f"CREATE ROLE {MONITOR} LOGIN CONNECTION LIMIT {CONNECTION_LIMIT};"
            superuser.execute(command.encode())
            connection.execute(grants_sql(SHOP).encode())
        bare.allow_login(MONITOR)
        (needed,) = (each for each in warnings if "must run: ALTER ROLE" in each)
        superuser.execute(needed.partition("must run: ")[2].encode())
        with bare.connect(MONITOR) as monitor:
            assert ask(monitor, "SHOW lock_timeout") == [("1s",)]
            assert ask(monitor, "SHOW default_transaction_read_only") == [("on",)]
        (query,) = SHOP.queries
        assert look(bare, query)["orders"].state is State.OK
        superuser.execute(f"DROP OWNED BY {MONITOR}, lesser; DROP ROLE {MONITOR}, lesser".encode())


def test_limit_is_counted_from_the_packs_of_all_databases(bare: LoomDatabase) -> None:
    second = sql.Identifier("loom_second")
    with bare.connect() as superuser:

        def limit() -> int:
            ((number,),) = ask(superuser, LIMIT, MONITOR)
            return int(number)

        try:
            for extra, pack in enumerate((SHOP, OTHER)):
                install_grants(bare, pack)
                assert limit() == CONNECTION_LIMIT + CONNECTIONS_EACH * extra
            superuser.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(second))
            superuser.execute(sql.SQL("CREATE DATABASE {} OWNER postgres").format(second))
            with psycopg.connect(bare.server.dsn("loom_second"), autocommit=True) as connection:
                connection.execute(grants_sql(SHOP).encode())
            # Whatever schema of an extension the role may use in the first one counts too.
            with_second = limit()
            assert with_second >= CONNECTION_LIMIT + 2 * CONNECTIONS_EACH
            assert with_second <= CONNECTION_LIMIT + 3 * CONNECTIONS_EACH
            # A limit that an administrator has raised is left alone, and so is one that is enough.
            for raised in (40, -1):
                superuser.execute(f"ALTER ROLE {MONITOR} CONNECTION LIMIT {raised}".encode())
                install_grants(bare, SHOP)
                assert limit() == raised
        finally:
            superuser.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(second))


def test_probes_of_several_packs_have_room_too(bare: LoomDatabase) -> None:
    with bare.connect() as superuser:
        for number, pack in enumerate((SHOP, OTHER), 1):
            install_grants(bare, pack)
            bare.run(probe_grants_sql(pack))
            assert ask(superuser, LIMIT, PROBE_ROLE) == [(CONNECTIONS_SPARE + number,)]
        superuser.execute(f"ALTER ROLE {PROBE_ROLE} CONNECTION LIMIT 30".encode())
        bare.run(probe_grants_sql(SHOP))
        assert ask(superuser, LIMIT, PROBE_ROLE) == [(30,)]
        superuser.execute(f"DROP OWNED BY {PROBE_ROLE}; DROP ROLE {PROBE_ROLE}".encode())

"""`check --database` says which names of a pack are in the database, and what was meant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from exporter.catalog import load_catalog
from exporter.deployment.resolution import Resolved, resolve
from exporter.run_state import State
from tests.support.daemon import command
from tests.support.marks import only_18
from tests.support.queries import DEPLOYMENT, QUERY, make_folder
from tests.support.watching import OWNER, deploy, roll_back, shipped

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.loom_database import LoomDatabase

pytestmark = only_18

OBJECTS = """\
    objects:
      - {kind: view, object: order_totals}
      - {kind: function, object: total_of(bigint)}
"""


@pytest.fixture
def shop(loom: LoomDatabase) -> LoomDatabase:
    """Return a database with names of every shape."""
    with loom.connect(OWNER) as connection:
        connection.execute(
            'CREATE SCHEMA "Sales"; CREATE TABLE "Sales"."Orders" (id int);'
            ' CREATE TABLE "Sales"."Event Log" (id int); CREATE TABLE "Sales"."v1.0" (id int);'
            " CREATE FUNCTION public.order_count() RETURNS bigint LANGUAGE sql RETURN 1"
        )
    return loom


def _resolve(
    loom: LoomDatabase, folder: Path, more: str, test_users: set[str] | None = None
) -> list[Resolved]:
    make_folder(folder, {"deployment.yaml": DEPLOYMENT + OBJECTS + more, "things.sql": QUERY})
    return resolve(loom.dsn(OWNER), load_catalog(folder), test_users)


@pytest.mark.parametrize("stage", ["before", "deployed", "rolled back"])
def test_shipped_pack_names_nothing_that_is_not_there_or_coming(
    loom: LoomDatabase, stage: str
) -> None:
    if stage != "before":
        deploy(loom, "healthy")
    if stage == "rolled back":
        roll_back(loom)
    found = resolve(loom.dsn(OWNER), shipped(), None)
    coming = [each for each in found if each.state is State.ABSENT]
    assert {each.state for each in found} - {State.ABSENT} == {State.OK}
    assert bool(coming) == (stage != "deployed")
    assert all(each.detail.endswith("is not there yet: phase mfa brings it") for each in coming)
    assert found[-1].place == "deployment.yaml"
    assert found[-1].detail.endswith("names found in the database loom")


def test_names_of_every_shape_are_found(shop: LoomDatabase, tmp_path: Path) -> None:
    more = """\
tables: [Sales.Event Log, 'Sales."v1.0"', users]
classes:
  orders: {relations: [Sales.Orders, '"Sales"."Event Log"'], functions: [public.order_count]}
  bare: {relations: [Orders]}
api_roles: [anon]
exposed_schemas: [public, Sales]
"""
    more = more.replace(", users]", "]")  # the schema of a bare name is the first exposed one
    (only,) = _resolve(shop, tmp_path / "pack", more)
    assert only == ("deployment.yaml", State.OK, "8 names found in the database loom")


def test_each_name_that_is_not_there_is_told_with_what_was_meant(
    shop: LoomDatabase, tmp_path: Path
) -> None:
    more = """\
tables: [sales.orders, users]
classes:
  orders:
    relations: [Sales.Event_Log, public.order_totals, public.userz, app.tokens]
    functions: [public.Order_Count, public.total_of, public.nothing_like_it]
replacements:
  - old: SELECT * FROM public.users
    new: SELECT public.total_of(id), public.nothing() FROM "Sales".orders
api_roles: [anon, Authenticated]
exposed_schemas: [public, sales]
"""
    found = _resolve(shop, tmp_path / "pack", more)
    spelt = "Names are written as the catalog has them"
    brings = "if a phase brings it, name it among the `objects` of the phase"
    there_is_no = {
        "tables.0": ("relation sales.orders", f"did you mean Sales.Orders? {spelt}"),
        "classes.orders.relations.0": (
            "relation Sales.Event_Log",
            f"did you mean Sales.Event Log? {spelt}",
        ),
        "classes.orders.relations.2": ("relation public.userz", "did you mean public.users?"),
        "classes.orders.relations.3": ("relation app.tokens", brings),
        "classes.orders.functions.0": (
            "function public.Order_Count",
            f"did you mean public.order_count? {spelt}",
        ),
        "classes.orders.functions.2": ("function public.nothing_like_it", brings),
        "replacements.0.new": ("relation Sales.orders", f"did you mean Sales.Orders? {spelt}"),
        "api_roles.1": ("role Authenticated", f"did you mean authenticated? {spelt}"),
        "exposed_schemas.1": ("schema sales", f"did you mean Sales? {spelt}"),
    }
    faults = {
        key: f"{key}: there is no {name}; {remedy}" for key, (name, remedy) in there_is_no.items()
    }
    told = [each for each in found if each.state is State.ERROR]
    assert {each.detail for each in told} >= set(faults.values())
    assert [each.detail for each in told if each.detail not in faults.values()] == [
        "replacements.0.new: there is no function public.nothing; " + brings
    ]
    # In the order of the file, with its lines.
    assert [each.place for each in told] == sorted(each.place for each in told)
    assert told[0].place == "deployment.yaml:13"
    assert [each.detail for each in found if each.state is State.ABSENT] == [
        f"{place}: {name} is not there yet: phase one brings it"
        for place, name in (
            ("classes.orders.relations.1", "public.order_totals"),
            ("classes.orders.functions.1", "public.total_of"),
            ("replacements.0.new", "public.total_of"),
        )
    ]


def test_pack_of_another_database_is_told_so_and_nothing_else(
    shop: LoomDatabase, tmp_path: Path
) -> None:
    more = """\
tables: [shipments]
classes:
  shipments: {relations: [app.shipments, app.parcels, public.order_totals]}
"""
    (only,) = _resolve(shop, tmp_path / "pack", more)
    assert only.state is State.ERROR
    assert only.detail.startswith(
        "tables.0: THIS PACK IS FOR ANOTHER DATABASE: none of its 3 relations, such as"
        " public.shipments, is in loom; "
    )


def test_what_a_query_requires_may_be_missing_but_not_be_misspelt(
    shop: LoomDatabase, tmp_path: Path
) -> None:
    required = QUERY.replace("interval: 1m", "interval: 1m\nrequires: {relations: [%s]}")
    found = {
        name: resolve(
            shop.dsn(OWNER),
            load_catalog(
                make_folder(
                    tmp_path / str(number),
                    {"deployment.yaml": DEPLOYMENT, "a.sql": required % f"public.users, {name}"},
                )
            ),
            None,
        )
        for number, name in enumerate(("public.later", "sales.orders", "Sales.Event Log"))
    }
    assert [each.state for each in found["public.later"]] == [State.OK]
    assert found["sales.orders"][0] == Resolved(
        "a.sql:5",
        State.ERROR,
        "requires.relations.1: there is no relation sales.orders; did you mean Sales.Orders?"
        " Names are written as the catalog has them",
    )
    assert [each.state for each in found["Sales.Event Log"]] == [State.OK]


def test_test_user_of_a_probe_must_be_in_the_settings_where_probes_are_asked(
    loom: LoomDatabase,
) -> None:
    def users_missing(test_users: set[str] | None) -> set[str]:
        found = resolve(loom.dsn(OWNER), shipped(), test_users)
        return {each.detail for each in found if each.state is State.ERROR}

    assert users_missing(None) == set()
    assert users_missing({"coach", "other_coach", "client"}) == set()
    assert users_missing({"coach", "other_coach"}) == {
        "as.subject: there is no test user client in the settings (`probe_subjects`)"
    }


def test_check_ends_with_the_code_of_a_fault_and_tells_a_machine_the_same(
    shop: LoomDatabase, tmp_path: Path
) -> None:
    pack = tmp_path / "pack"
    rest = "history: {kind: rails}\nclasses:\n  users: {relations: [public.%s]}\n"
    wrong, right = (DEPLOYMENT + OBJECTS + rest % name for name in ("Users", "users"))
    env = {"LOOM_EXPORTER_DATABASE_URL": shop.dsn(OWNER)}
    arguments = ("check", "--database", "--queries", str(pack))
    make_folder(pack, {"deployment.yaml": wrong, "things.sql": QUERY})
    done = command(*arguments, env=env)
    assert done.returncode == 2
    told = (
        "classes.users.relations.0: there is no relation public.Users; did you mean public.users?"
    )
    (line,) = [line for line in done.stdout.splitlines() if "public.Users" in line]
    assert line.split(maxsplit=2)[:2] == ["error", "deployment.yaml:15"]
    assert told in line
    (name, rest_of_them) = json.loads(command(*arguments, "--format", "json", env=env).stdout)[
        "names"
    ]
    assert name["place"] == "deployment.yaml:15"
    assert told in name["detail"]
    assert rest_of_them["state"] == "ok"
    make_folder(pack, {"deployment.yaml": right, "things.sql": QUERY})
    assert command(*arguments, env=env).returncode == 0


def test_check_says_of_a_pack_of_another_database_that_alone(
    loom: LoomDatabase, tmp_path: Path
) -> None:
    rest = "history: {kind: rails}\nclasses:\n  a: {relations: [app.a]}\n"
    pack = make_folder(
        tmp_path / "pack", {"deployment.yaml": DEPLOYMENT + rest, "things.sql": QUERY}
    )
    env = {"LOOM_EXPORTER_DATABASE_URL": loom.dsn(OWNER)}
    done = command("check", "--database", "--queries", str(pack), env=env)
    assert done.returncode == 2
    (line,) = done.stdout.splitlines()
    assert "THIS PACK IS FOR ANOTHER DATABASE" in line


def test_relations_of_one_name_are_told_where_their_statements_are_one(
    shop: LoomDatabase, tmp_path: Path
) -> None:
    shop.run('CREATE TABLE "Sales".users (id int)')
    found = _resolve(shop, tmp_path / "pack", "classes: {users: {relations: [public.users]}}\n")
    assert {each.state for each in found} == {State.OK}
    (told,) = [each.detail for each in found if "shares its name" in each.detail]
    assert "public.users shares its name with Sales.users, auth.users: PostgreSQL 18" in told

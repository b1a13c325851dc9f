"""`check --database` says which names of a pack are in the database, and what was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.catalog import load_catalog
from exporter.database.outcome import State
from exporter.deployment.resolution import resolve
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
) -> list[tuple[str, State, str]]:
    make_folder(folder, {"deployment.yaml": DEPLOYMENT + OBJECTS + more, "things.sql": QUERY})
    return [tuple(each) for each in resolve(loom.dsn(OWNER), load_catalog(folder), test_users)]


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
    assert only == ("deployment.yaml", State.OK, "9 names found in the database loom")


def test_each_name_that_is_not_there_is_told_with_what_was_meant(
    shop: LoomDatabase, tmp_path: Path
) -> None:
    more = """\
tables: [sales.orders, users]
classes:
  orders:
    relations: [Sales.Event_Log, public.order_totals, public.userz, app.users]
    functions: [public.Order_Count, public.total_of, public.nothing_like_it]
replacements:
  - old: SELECT * FROM public.users
    new: SELECT public.total_of(id), public.nothing() FROM "Sales".orders
api_roles: [anon, Authenticated]
exposed_schemas: [public, sales]
"""
    told = _resolve(shop, tmp_path / "pack", more)
    spelt = "Names are written as the catalog has them"
    assert [(place.removeprefix("deployment.yaml:"), detail) for place, _, detail in told] == [
        (
            "13",
            f"tables.0: there is no relation sales.orders; did you mean Sales.Orders? {spelt}",
        ),
        (
            "16",
            "classes.orders.relations.0: there is no relation Sales.Event_Log;"
            f" did you mean Sales.Event Log? {spelt}",
        ),
        (
            "16",
            "classes.orders.relations.1: public.order_totals is not there yet: phase one brings it",
        ),
        (
            "16",
            "classes.orders.relations.2: there is no relation public.userz; did you mean public.users?",
        ),
        (
            "16",
            f"classes.orders.relations.3: there is no relation app.users; did you mean auth.users? {spelt}",
        ),
    ]

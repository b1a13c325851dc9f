"""Schemas, capitals, spaces, dots, quotation marks and partitions, in the shipped questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.catalog import load_catalog
from exporter.run_state import State
from exporter.sources.inspection import inspect
from tests.support.loom_database import empty_database
from tests.support.marks import only_18
from tests.support.queries import make_folder, query_text
from tests.support.truth import ask
from tests.support.watching import MONITOR, install_grants, patient, watching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exporter.catalog import Catalog
    from tests.support.loom_database import LoomDatabase
    from tests.support.watching import Watch

pytestmark = only_18

SCHEMA = r"""
CREATE SCHEMA "Sales"; CREATE SCHEMA hr;
CREATE TABLE "Sales"."Orders" (id int PRIMARY KEY, day int) PARTITION BY RANGE (id);
CREATE TABLE "Sales"."Orders early" PARTITION OF "Sales"."Orders" FOR VALUES FROM (0) TO (500)
    PARTITION BY HASH (id);
CREATE TABLE hr.orders_even PARTITION OF "Sales"."Orders early"
    FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hr.orders_odd PARTITION OF "Sales"."Orders early"
    FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE "Sales"."Orders late" PARTITION OF "Sales"."Orders" FOR VALUES FROM (500) TO (9999);
CREATE TABLE "Sales"."Event Log" (id int PRIMARY KEY);
CREATE TABLE "Sales"."v1.0 ""b"" two" (id int PRIMARY KEY);
CREATE TABLE "Sales".people (id int PRIMARY KEY);
CREATE TABLE hr.people (id int PRIMARY KEY);
INSERT INTO "Sales"."Orders" SELECT n, n % 7 FROM generate_series(0, 999) AS n;
INSERT INTO "Sales"."Event Log" SELECT generate_series(1, 300);
INSERT INTO hr.people SELECT generate_series(1, 20);
DELETE FROM "Sales"."Orders" WHERE id % 10 = 0;
ANALYZE;
"""

PACK = """\
name: odd-names
title: Names of every shape
include: standard
history: {kind: none}
warmup: 30m
phases:
  one:
    title: The only phase
    rollback: {risk: low, advice: Roll back.}
exposed_schemas: [Sales, hr]
tables:
  - Orders
  - Sales.Event Log
  - 'Sales."v1.0 ""b"" two"'
  - Sales.people
  - hr.people
classes:
  orders: {relations: [Sales.Orders]}
  log: {relations: ['"Sales"."Event Log"', 'Sales."v1.0 ""b"" two"']}
  people: {relations: [hr.people]}
"""
COUNTED = query_text(
    {"odd_events": {"value": "events"}},
    sql='SELECT count(*) AS events FROM "Sales"."Event Log"',
    access="definer",
    requires={"relations": ["Sales.Event Log", 'Sales."v1.0 ""b"" two"']},
)


@pytest.fixture
def pack(tmp_path: Path) -> Catalog:
    """Return a pack that names everything in the database `odd`."""
    folder = make_folder(tmp_path / "pack", {"deployment.yaml": PACK, "events.sql": COUNTED})
    return load_catalog(folder)


@pytest.fixture
def odd(loom: LoomDatabase, pack: Catalog) -> Iterator[LoomDatabase]:
    """Return a database with names of every shape, and the monitoring role."""
    with empty_database(loom.server, "odd") as made:
        made.run("CREATE EXTENSION pg_stat_statements", made.server.superuser)
        made.run(SCHEMA)
        install_grants(made, pack)
        yield made


def _by_table(watch: Watch, metric: str) -> dict[str, float]:
    return {labels[0]: value for labels, value in watch.series()[metric].items()}


TABLES = {"Orders", "Event Log", 'v1.0 "b" two', "people", "hr.people"}
"""Values of the label `table`: those beyond the first exposed schema have theirs before them."""


async def test_tables_are_told_apart_and_partitioned_ones_are_the_sum_of_their_partitions(
    odd: LoomDatabase, pack: Catalog
) -> None:
    async with watching(odd.dsn(MONITOR), catalog=pack) as watch:
        await watch.look()
        assert set(watch.states().values()) <= {State.OK, State.EMPTY}, watch.states()
        with odd.connect() as superuser:
            superuser.execute("SELECT pg_stat_force_next_flush()")
            ((size, dead, rows),) = ask(
                superuser,
                "SELECT sum(pg_total_relation_size(relid)), sum(pg_stat_get_dead_tuples(relid)),"
                " sum(reltuples) FILTER (WHERE isleaf)"
                ' FROM pg_partition_tree(\'"Sales"."Orders"\') JOIN pg_class AS c ON oid = relid',
            )
        sizes = _by_table(watch, "loom_table_size_bytes")
        assert sizes.keys() == TABLES
        assert sizes["Orders"] == size > 0
        estimates = _by_table(watch, "loom_table_rows_estimate")
        assert estimates["Orders"] == rows == 900
        assert estimates["Event Log"] == 300
        assert estimates["hr.people"] == 20
        assert _by_table(watch, "loom_table_dead_rows")["Orders"] == dead
        assert _by_table(watch, "loom_table_dead_rows").keys() == TABLES
        indexes = watch.series()["loom_index_valid"]
        assert {labels for labels in indexes if "people" in labels[0]} == {
            ("people", "people_pkey"),
            ("hr.people", "people_pkey"),
        }
        scans = _by_table(watch, "loom_table_sequential_scans_total")["Orders"]
        with odd.connect() as superuser:
            superuser.execute('SELECT count(*) FROM "Sales"."Orders" WHERE day = 3')
            superuser.execute("SELECT pg_stat_force_next_flush(), pg_stat_clear_snapshot()")
            superuser.execute("SELECT 1")
        await watch.look()
        after = _by_table(watch, "loom_table_sequential_scans_total")["Orders"]
        assert after == scans + 3, "one of each partition that holds rows"
        assert watch.series()["odd_events"] == {(): 300}


async def test_statements_belong_to_the_classes_of_what_they_name(
    odd: LoomDatabase, pack: Catalog
) -> None:
    called = {
        "orders": ('"Sales"."Orders"', "hr.orders_odd", '"Sales"."Orders late"'),
        "log": ('"Sales"."Event Log"', '"Sales"."v1.0 ""b"" two"'),
        "people": ("hr.people",),
    }
    async with watching(odd.dsn(MONITOR), catalog=pack) as watch:
        await watch.poll()
        with odd.connect("postgres") as owner:
            # PostgreSQL 18 takes the same question to two tables of one name for one statement.
            owner.execute('SELECT count(*) FROM "Sales".people')
            for names in called.values():
                for name in names:
                    owner.execute(f"SELECT id FROM {name}".encode())
        seen = await watch.poll()
    calls = seen.samples["loom_statement_calls_total"]
    assert {name: calls[name, "other"] for name in called} == {
        name: len(names) for name, names in called.items()
    }


def test_names_are_found_and_what_is_required_is_there(odd: LoomDatabase, pack: Catalog) -> None:
    found = inspect(odd.dsn(MONITOR), map(patient, pack.queries))
    assert {each.state for each in found} == {State.OK}

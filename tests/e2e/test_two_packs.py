"""Two teams in one Prometheus: the shipped rules know each pack, its classes and its advice."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter.catalog import load_catalog
from tests.integration.test_pack_of_a_shop import INDEX, SCHEMA, SPLIT
from tests.support.alerting import Alerting
from tests.support.daemon import Daemon
from tests.support.dashboards import panels
from tests.support.loom_database import empty_database
from tests.support.observers import eventually
from tests.support.watching import MONITOR, install_grants

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.loom_database import LoomDatabase

PACKS = Path(__file__).parents[1] / "packs"

SALES = """
CREATE SCHEMA "Sales";
CREATE SCHEMA hr;
CREATE TABLE "Sales"."Orders" (id bigint, placed date, PRIMARY KEY (id, placed))
    PARTITION BY RANGE (placed);
CREATE TABLE "Sales"."Orders 2025" PARTITION OF "Sales"."Orders"
    FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE "Sales"."Orders 2026" PARTITION OF "Sales"."Orders"
    FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO "Sales"."Orders"
    SELECT n, date '2025-06-01' + n FROM generate_series(1, 300) AS n;
CREATE TABLE "Sales"."Event Log" (id bigint PRIMARY KEY, kind text NOT NULL);
CREATE TABLE hr.people (id int PRIMARY KEY);
ANALYZE "Sales"."Orders";
"""
ARCHIVE = """
CREATE TABLE "Sales"."Archive" (LIKE "Sales"."Orders");
ALTER TABLE "Sales"."Orders" ADD archived timestamptz;
"""
ADVICE = {
    "shop": "Low risk. Stop the importer, then drop the column.",
    "sales": "High risk. Copy the archive back before it is dropped.",
}

OF_A_BASELINE = {
    "loom-deployment: Speed by class",
    "loom-query-performance: Actual over expected time",
    "loom-query-performance: Classes and roles in the baseline",
    "loom-query-performance: False pages on the baseline itself",
    "loom-query-performance: Since the deployment, and how sure",
    "loom-query-performance: Time of a call, beside the baseline",
    "loom-query-performance: Time spent in statements with a baseline",
    "loom-query-performance: Time that the baseline rests on",
}
"""Panels without data here, where the deployment comes before a baseline is known."""
OF_A_PLAN = {"loom-deployment: Day by day"}
"""Neither pack has a plan."""


@pytest.fixture
def databases(loom: LoomDatabase) -> Iterator[Mapping[str, LoomDatabase]]:
    """Return a database for each pack, with its tables and what `grants` prints for it."""
    made = {}
    with contextlib.ExitStack() as stack:
        for name, schema in (("shop", SCHEMA), ("sales", SALES)):
            made[name] = stack.enter_context(empty_database(loom.server, name))
            made[name].run("CREATE EXTENSION pg_stat_statements", loom.server.superuser)
            made[name].run(schema)
            install_grants(made[name], load_catalog(PACKS / name))
        yield made


def _panels_without_data(alerting: Alerting, database: str) -> set[str]:
    """Return the panels of which no query has data for a database."""
    variables = {
        "job": ".+",
        "instance": ".+",
        "database": database,
        "class": ".+",
        "role": ".+",
        "__rate_interval": "15s",
        "__range": "60s",
    }
    return {
        panel.name
        for panel in panels()
        if panel.board != "loom-integrity-security"
        if not any(alerting.query(target.filled(variables)) for target in panel.targets)
    }


def _panels_have_data(alerting: Alerting, database: str) -> bool:
    """Return whether no panel lacks data that it could have.

    It may for a moment: a scrape that fails, as one that takes longer than a second, takes all
    series away until the next one.
    """
    return _panels_without_data(alerting, database) <= OF_A_BASELINE | OF_A_PLAN


def test_packs_are_small() -> None:
    for pack in PACKS.iterdir():
        assert len((pack / "deployment.yaml").read_text(encoding="utf-8").splitlines()) <= 60
        assert len(list(pack.glob("*.sql"))) <= 3


def test_each_team_is_paged_for_its_own_deployment_with_its_own_advice(
    databases: Mapping[str, LoomDatabase],
) -> None:
    shop, sales = databases["shop"], databases["sales"]
    with (
        Daemon(shop.dsn(MONITOR), "--queries", str(PACKS / "shop")) as one,
        Daemon(sales.dsn(MONITOR), "--queries", str(PACKS / "sales")) as other,
        Alerting({"shop": one.port, "sales": other.port}) as alerting,
    ):
        for name in databases:
            eventually(
                f"{name} is seen as not deployed",
                partial(alerting.query, f'loom_migration_applied{{database="{name}"}} == 0'),
            )
        # A partitioned table is one table, and a schema that is not the first one is named.
        eventually(
            "partitions are summed",
            lambda: alerting.query('loom_table_rows_estimate{table="Orders"} == 300'),
        )
        assert not alerting.query('loom_table_rows_estimate{table=~".*2025"}')
        eventually(
            "a table of another schema is named with it",
            lambda: alerting.query('loom_table_dead_rows{database="sales", table="hr.people"}'),
        )

        shop.run(SPLIT)
        shop.run(INDEX)
        sales.run(ARCHIVE)
        for name, advice in ADVICE.items():
            page = eventually(
                f"the page about {name} arrives",
                partial(
                    alerting.hook.firing,
                    "pager",
                    alertname="LoomCriterionFailed",
                    database=name,
                ),
            )[0]
            assert page.annotations["rollback"] == advice
            assert "LoomCriterionFailed" in alerting.firing(name, time.time())
            is_no_go = f'loom_deployment_verdict{{database="{name}", verdict="no_go"}} == 1'
            eventually("the verdict is no-go", partial(alerting.query, is_no_go))
            eventually(
                f"all panels that can have data of {name} do",
                partial(_panels_have_data, alerting, name),
            )
        classes = {
            (each["database"], each["severity"])
            for each in alerting.query('loom:class:phase{class="orders"}')
        }
        assert classes == {("shop", "critical"), ("sales", "warning")}
        assert alerting.rule_errors() == []

        sales.run("""INSERT INTO "Sales"."Event Log" VALUES (1, 'archived')""")
        eventually(
            "the alert ends",
            lambda: "LoomCriterionFailed" not in alerting.firing("sales", time.time()),
        )

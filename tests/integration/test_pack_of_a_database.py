"""`init --database` begins a pack with what is there, in which `check` finds no fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.catalog import load_catalog
from tests.support.commands import run, run_in_peace
from tests.support.loom_database import empty_database
from tests.support.marks import only_18
from tests.support.watching import MONITOR, OWNER, install_grants

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.loom_database import LoomDatabase

SCHEMA = """
CREATE SCHEMA "Sales";
CREATE SCHEMA hr;
CREATE TABLE "Sales"."Event Log" (id bigint PRIMARY KEY, kind text NOT NULL);
INSERT INTO "Sales"."Event Log" SELECT n, repeat('x', 500) FROM generate_series(1, 2000) AS n;
CREATE TABLE hr.people (id int PRIMARY KEY);
INSERT INTO hr.people SELECT generate_series(1, 500);
CREATE TABLE public.measured (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE public.measured_2026 PARTITION OF public.measured
    FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE hr.alembic_version (version_num varchar(32) PRIMARY KEY);
GRANT USAGE ON SCHEMA "Sales", hr TO anon;
GRANT SELECT ON ALL TABLES IN SCHEMA "Sales", hr TO anon;
ANALYZE;
"""


@pytest.fixture
def database(loom: LoomDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoomDatabase]:
    """Return a database of another team, which the settings name."""
    with empty_database(loom.server, "outlined") as made:
        made.run("CREATE EXTENSION pg_stat_statements", made.server.superuser)
        made.run(SCHEMA)
        monkeypatch.setenv("LOOM_EXPORTER_DATABASE_URL", made.dsn(OWNER))
        yield made


def _call(database: LoomDatabase) -> None:
    """Let an application spend most of its time on one table, and some on another."""
    with database.connect("authenticator") as api:
        api.execute("SET ROLE anon")
        # So long that nothing which holds a call up for a second turns the order.
        for _ in range(20):
            api.execute('SELECT count(*), pg_sleep(0.3) FROM "Sales"."Event Log"')
        api.execute("SELECT count(*), pg_sleep(2) FROM hr.people")


@only_18
def test_pack_has_its_tables_its_history_and_its_largest_statements(
    database: LoomDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _call(database)
    folder = tmp_path / "pack"
    done = run("init", str(folder), "--database")
    assert (done.exit_code, done.stderr) == (0, "")
    pack = load_catalog(folder)
    deployment = pack.deployment
    assert list(deployment.tables)[:2] == ["Sales.Event Log", "hr.people"]
    assert "public.measured" in deployment.tables
    assert not [table for table in deployment.tables if "2026" in table or "alembic" in table]
    assert set(deployment.exposed_schemas) == {"public", "Sales", "hr"}
    assert deployment.history is not None
    assert (deployment.history.kind, deployment.history.schema_name) == ("alembic", "hr")
    assert list(deployment.classes) == ["event_log", "people"]
    assert deployment.statement_roles[0] == "anon"

    install_grants(database, pack)
    monkeypatch.setenv("LOOM_EXPORTER_DATABASE_URL", database.dsn(MONITOR))
    checked = run_in_peace("check", "--queries", str(folder), "--database")
    assert checked.exit_code == 0, checked.stdout + checked.stderr
    asked = run_in_peace("run", "--queries", str(folder), "event_log")
    assert "event_log_rows{" in asked.stdout
    assert "} 2000.0" in asked.stdout


@only_18
def test_statements_that_nobody_has_called_make_no_class(
    database: LoomDatabase, tmp_path: Path
) -> None:
    with database.connect() as superuser:
        superuser.execute("SELECT pg_stat_statements_reset()")
        superuser.execute("DROP EXTENSION pg_stat_statements")
    folder = tmp_path / "pack"
    done = run("init", str(folder), "--database", "--history", "none")
    assert (done.exit_code, done.stderr) == (0, "")
    deployment = load_catalog(folder).deployment
    assert not deployment.classes
    assert "speed" not in deployment.criteria
    assert run("check", "--queries", str(folder)).exit_code == 0


@only_18
def test_database_without_tables_is_refused(database: LoomDatabase, tmp_path: Path) -> None:
    database.run('DROP SCHEMA "Sales", hr CASCADE; DROP TABLE public.measured')
    done = run("init", str(tmp_path / "pack"), "--database")
    assert done.exit_code == 2
    assert done.stderr == (
        "loom-exporter: the database has no table of its own; leave --database out\n"
    )
    assert not (tmp_path / "pack").exists()

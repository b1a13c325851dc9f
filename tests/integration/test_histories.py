"""Each kind of history, as its tool writes it, read from a real PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from exporter.catalog import load_catalog
from exporter.run_state import State
from tests.support.marks import only_18
from tests.support.queries import DEPLOYMENT, QUERY, make_folder
from tests.support.watching import MONITOR, install_grants, look

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.loom_database import LoomDatabase

pytestmark = only_18


class Tool(NamedTuple):
    """How a tool makes its table, and the steps after which `applied` is what it says."""

    table: str
    version: str
    steps: tuple[tuple[str, float], ...]


_DJANGO = "INSERT INTO django_migrations (app, name, applied)"
TOOLS = {
    "django": Tool(
        "CREATE TABLE django_migrations (id bigint GENERATED ALWAYS AS IDENTITY, app varchar(255),"
        " name varchar(255), applied timestamptz)",
        "shop.0002_split",
        (
            (
                _DJANGO + " VALUES ('a', '0002_split', now())",
                0,
            ),
            (
                _DJANGO + " VALUES ('shop', '0002_split', now())",
                1,
            ),
            ("DELETE FROM django_migrations WHERE app = 'shop'", 0),
        ),
    ),
    "rails": Tool(
        "CREATE TABLE schema_migrations (version varchar PRIMARY KEY)",
        "20260101000001",
        (
            ("INSERT INTO schema_migrations VALUES ('20250101000001')", 0),
            ("INSERT INTO schema_migrations VALUES ('20260101000001')", 1),
        ),
    ),
    "alembic": Tool(
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
        "ae1027a6acf",
        (
            ("INSERT INTO alembic_version VALUES ('1975ea83b712')", 0),
            ("UPDATE alembic_version SET version_num = 'ae1027a6acf'", 1),
        ),
    ),
    "flyway": Tool(
        "CREATE TABLE flyway_schema_history (installed_rank int PRIMARY KEY, version varchar(50),"
        " description varchar(200), type varchar(20), installed_on timestamp DEFAULT now(),"
        " success boolean)",
        "2.1",
        (
            ("INSERT INTO flyway_schema_history VALUES (1, '2.1', 'a', 'SQL', now(), false)", 0),
            ("INSERT INTO flyway_schema_history VALUES (2, '2.1', 'a', 'SQL', now(), true)", 1),
            (
                "INSERT INTO flyway_schema_history VALUES (3, '2.1', 'a', 'UNDO_SQL', now(), true)",
                0,
            ),
        ),
    ),
    "liquibase": Tool(
        "CREATE TABLE databasechangelog (id varchar(255), author varchar(255),"
        " filename varchar(255), dateexecuted timestamp, orderexecuted int)",
        "split-address",
        (
            ("INSERT INTO databasechangelog VALUES ('other', 'ada', 'a.xml', now(), 1)", 0),
            ("INSERT INTO databasechangelog VALUES ('split-address', 'ada', 'a.xml', now(), 2)", 1),
        ),
    ),
}


@pytest.mark.parametrize("kind", TOOLS)
def test_history_says_what_its_tool_has_applied(
    kind: str, loom: LoomDatabase, tmp_path: Path
) -> None:
    tool = TOOLS[kind]
    text = DEPLOYMENT.replace('"1"', f'"{tool.version}"') + f"history: {{kind: {kind}}}\n"
    folder = make_folder(tmp_path / "pack", {"things.sql": QUERY, "deployment.yaml": text})
    pack = load_catalog(folder)
    query = next(query for query in pack.queries if query.name == "migrations")
    install_grants(loom, pack)
    assert look(loom, query)["migrations"].state is State.ABSENT, "before the first migration"
    with loom.connect("postgres") as owner:
        owner.execute(tool.table.encode())
    for step, expected in tool.steps:
        with loom.connect("postgres") as owner:
            owner.execute(step.encode())
        seen = look(loom, query)["migrations"]
        assert seen.state is State.OK, seen
        assert seen.samples["loom_migration_applied"] == {(tool.version, "first", "one"): expected}


def test_phases_are_seen_by_their_objects(loom: LoomDatabase, tmp_path: Path) -> None:
    objects = """\
    objects:
      - {kind: table, object: things}
      - {kind: index, object: things_by_kind}
      - {kind: column, object: weight on things}
      - {kind: function, object: weigh(integer)}
"""
    phase = DEPLOYMENT.replace('    migrations:\n      - {version: "1", name: first}\n', objects)
    text = phase + "history: {kind: probe}\n"
    folder = make_folder(tmp_path / "pack", {"things.sql": QUERY, "deployment.yaml": text})
    pack = load_catalog(folder)
    query = next(query for query in pack.queries if query.name == "migrations")
    install_grants(loom, pack)

    def applied() -> float:
        seen = look(loom, query, user=MONITOR)["migrations"]
        assert seen.state is State.OK, seen
        (value,) = seen.samples["loom_migration_applied"].values()
        return value

    assert applied() == 0
    for statement in (
        "CREATE TABLE things (kind text, weight int)",
        "CREATE INDEX things_by_kind ON things (kind)",
        "CREATE FUNCTION weigh(int) RETURNS int LANGUAGE sql AS 'SELECT $1'",
    ):
        assert applied() == 0
        with loom.connect("postgres") as owner:
            owner.execute(statement.encode())
    assert applied() == 1
    with loom.connect("postgres") as owner:
        owner.execute("ALTER TABLE things DROP COLUMN weight")
    assert applied() == 0

"""A pack includes the shipped queries that every PostgreSQL answers, if it says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.catalog import load_catalog
from tests.support.queries import DEPLOYMENT, QUERY, make_folder

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.catalog import Catalog

MIGRATIONS = '    migrations:\n      - {version: "1", name: first}\n'
OBJECT = "    objects:\n      - {kind: table, object: stock}\n"


def _pack(folder: Path, more: str = "", text: str = DEPLOYMENT, **files: str) -> Catalog:
    named = {f"{name}.sql": content for name, content in files.items()}
    return load_catalog(
        make_folder(folder / "pack", {"a.sql": QUERY, "deployment.yaml": text + more, **named})
    )


def test_standard_questions_are_taken_where_a_pack_includes_them(tmp_path: Path) -> None:
    assert [query.name for query in _pack(tmp_path).queries] == ["a"]
    names = [query.name for query in _pack(tmp_path, "include: standard\n").queries]
    assert {"a", "tables", "database", "schema_objects"} <= set(names)
    assert "migrations" not in names
    assert names == sorted(names)


def test_a_file_of_the_pack_takes_the_place_of_a_shipped_one(tmp_path: Path) -> None:
    text = QUERY.replace("loom_things", "loom_tables")
    loaded = _pack(tmp_path, "include: standard\n", tables=text)
    query = loaded.query("tables")
    assert query is not None
    assert list(query.metrics) == ["loom_tables"]


def test_objects_are_a_history_with_the_phase_as_its_version(tmp_path: Path) -> None:
    text = DEPLOYMENT.replace(MIGRATIONS, "")
    loaded = _pack(tmp_path, OBJECT + "history: {kind: probe}\n", text)
    (migration,) = loaded.deployment.phases["one"].migrations
    assert (migration.version, migration.name) == ("one", "The only phase")
    assert "pg_catalog.pg_class" in loaded.queries[1].text
    assert not loaded.unseen

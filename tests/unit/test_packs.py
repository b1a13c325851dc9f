"""A pack takes shipped questions, says what keeps its history, and can be seen or is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.catalog import load_catalog
from exporter.catalog.pack_info import pack_info
from tests.support.queries import DEPLOYMENT, QUERY, make_folder

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.catalog import Catalog

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


@pytest.mark.parametrize("kind", ["supabase", "django", "rails", "alembic", "flyway", "liquibase"])
def test_each_history_is_read_by_one_query(tmp_path: Path, kind: str) -> None:
    loaded = _pack(tmp_path, f"history: {{kind: {kind}}}\n")
    assert [query.name for query in loaded.queries] == ["a", "migrations"]
    assert not loaded.unseen_phases()


def test_a_history_may_be_in_another_schema(tmp_path: Path) -> None:
    query = _pack(tmp_path, "history: {kind: django, schema: shop}\n").queries[1]
    assert query.header.requires.relations == ("shop.django_migrations",)
    assert "public." not in query.text


def test_objects_are_a_history_with_the_phase_as_its_version(tmp_path: Path) -> None:
    loaded = _pack(tmp_path, OBJECT + "history: {kind: probe}\n")
    (migration,) = loaded.deployment.phases["one"].migrations
    assert (migration.version, migration.name) == ("one", "The only phase")
    assert "pg_catalog.pg_class" in loaded.queries[1].text
    assert not loaded.unseen_phases()


@pytest.mark.parametrize(
    ("more", "missing"),
    [
        ("", "say what keeps the history"),
        ("history: {kind: probe}\n", "give it some"),
        ("history: {kind: none}\n", None),
    ],
)
def test_a_phase_that_can_never_be_seen_is_named(
    tmp_path: Path, more: str, missing: str | None
) -> None:
    lines = _pack(tmp_path, more).unseen_phases()
    assert [missing in line for line in lines if missing] == ([True] if missing else [])
    assert all(line.startswith("phases.one: ") for line in lines)


def test_a_class_is_of_the_phase_of_the_first_condition_on_it(tmp_path: Path) -> None:
    more = (
        "classes:\n  quick: {relations: [a]}\n  slow: {relations: [b], severity: warning}\n"
        "criteria:\n  speed:\n    title: Speed\n    alert: {severity: critical, for: 1h}\n"
        "    conditions:\n      - {class: quick, phase: one, not_slower_than: baseline}\n"
        "      - {class: quick, not_slower_than: baseline}\n"
    )
    samples = pack_info(_pack(tmp_path, more).deployment)
    assert set(samples["loom_class_info"]) == {
        ("quick", "one", "critical"),
        ("slow", "all", "warning"),
        ("other", "all", "warning"),
    }
    assert set(samples["loom_criterion_info"]) == {("speed", "all", "Speed", "critical", "1h", "")}
    assert set(samples["loom_phase_info"]) == {("one", "The only phase", "low", "Roll back.")}

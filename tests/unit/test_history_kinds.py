"""What keeps the history of migrations: a pack names it, and one that shows nothing is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, get_args

import pytest

from exporter.catalog import CatalogError, load_catalog
from exporter.catalog.expected import History
from exporter.catalog.history import APPLIED
from exporter.clock import Clock
from exporter.deployment.history import AppliedMigrations, MigrationHistory, write_mark
from exporter.deployment.progress import PhaseProgress
from exporter.state import StateStore
from exporter.verdict.job import not_begun
from tests.support.commands import run
from tests.support.queries import DEPLOYMENT, QUERY, make_folder, query_text
from tests.unit.test_migration_history import OWNER

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.catalog import Catalog
    from exporter.state import Scope

MIGRATIONS = """\
    migrations:
      - {version: "1", name: first}
"""
OBJECTS = "    objects: [{kind: table, object: things}]\n"
KINDS = get_args(History.model_fields["kind"].annotation)


def _pack(folder: Path, text: str, **files: str) -> Path:
    return make_folder(
        folder / "pack",
        {"things.sql": QUERY, "deployment.yaml": text}
        | {f"{name}.sql": content for name, content in files.items()},
    )


def _with(history: str, phase: str = MIGRATIONS) -> str:
    return DEPLOYMENT.replace(MIGRATIONS, phase) + f"history: {history}\n"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("probe", "none")])
def test_named_history_is_read_by_a_shipped_query(kind: str, tmp_path: Path) -> None:
    loaded = load_catalog(_pack(tmp_path, _with(f"{{kind: {kind}}}")))
    query = loaded.query("migrations")
    assert query is not None
    assert query.metrics[APPLIED].labels == ("version", "name", "phase")
    assert "deployment.migrations" in getattr(query, "parameters", {})
    assert loaded.unseen == ()


@pytest.mark.parametrize("schema", ["ops", "Ops Schema"])
def test_history_may_be_in_another_schema(tmp_path: Path, schema: str) -> None:
    loaded = load_catalog(_pack(tmp_path, _with(f"{{kind: flyway, schema: {schema}}}")))
    (query,) = [query for query in loaded.queries if query.name == "migrations"]
    assert query.header.requires.relations == (f"{schema}.flyway_schema_history",)
    assert f'"{schema}".flyway_schema_history' in query.text
    assert "public." not in query.text


def test_the_packs_own_file_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    own = query_text({APPLIED: {"labels": ["version"], "value": "things"}})
    loaded = load_catalog(_pack(tmp_path, _with("{kind: django}"), migrations=own))
    query = loaded.query("migrations")
    assert query is not None
    assert query.path == tmp_path / "pack" / "migrations.sql"
    assert loaded.unseen == ()


def test_versions_may_be_any_text(tmp_path: Path) -> None:
    text = _with("{kind: django}").replace('"1"', "accounts.0003_split_address")
    (phase,) = load_catalog(_pack(tmp_path, text)).deployment.phases.values()
    assert phase.migrations[0].version == "accounts.0003_split_address"


@pytest.mark.parametrize(
    ("text", "files", "place", "remedy"),
    [
        (DEPLOYMENT, {}, "phases.one", "such as `history: {kind: django}`"),
        (DEPLOYMENT.replace(MIGRATIONS, ""), {}, "phases.one", "name its migrations"),
        (_with("{kind: probe}", ""), {}, "phases.one", "name some"),
        (
            DEPLOYMENT,
            {"own": query_text({APPLIED: {"labels": ["id"], "value": "things"}})},
            "phases",
            "a gauge with a label version; it has id",
        ),
    ],
    ids=["no history", "no migrations", "no objects", "no version"],
)
def test_check_refuses_phases_that_can_never_be_seen(
    text: str, files: dict[str, str], place: str, remedy: str, tmp_path: Path
) -> None:
    folder = _pack(tmp_path, text, **files)
    done = run("check", "--queries", str(folder))
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"loom-exporter: {folder / 'deployment.yaml'}:")
    assert f": {place}" in line
    assert remedy in line
    told = json.loads(run("check", "--queries", str(folder), "--format", "json").stdout)
    assert [line.removeprefix("loom-exporter: ")] == told["problems"]


@pytest.mark.parametrize("kind", ["probe", "none"])
def test_migrations_that_nobody_looks_for_are_refused(kind: str, tmp_path: Path) -> None:
    text = _with(f"{{kind: {kind}}}", MIGRATIONS + OBJECTS)
    with pytest.raises(CatalogError, match="looks for no migration; leave this one out"):
        load_catalog(_pack(tmp_path, text))


@pytest.mark.parametrize("kind", ["probe", "none"])
def test_phase_without_migrations_is_seen_by_its_objects_or_a_mark(
    kind: str, tmp_path: Path
) -> None:
    loaded = load_catalog(_pack(tmp_path, _with(f"{{kind: {kind}}}", OBJECTS)))
    assert loaded.unseen == ()
    assert (loaded.query("migrations") is None) == (kind == "none")


# ── How far the deployment has come ──────────────────────────────────────────────────────────────


def _history(catalog: Catalog, folder: Path) -> tuple[MigrationHistory, Scope]:
    people = StateStore(folder / "state.sqlite3").scope("shop", catalog.deployment.name)
    return MigrationHistory(people, catalog.deployment, Clock()), people


def test_each_phase_without_history_has_a_mark_of_its_own(tmp_path: Path) -> None:
    two = "  two:\n    title: Two\n    rollback: {risk: low, advice: Roll back.}\n"
    text = _with("{kind: none}", "").replace("history:", f"{two}history:")
    loaded = load_catalog(_pack(tmp_path, text))
    history, people = _history(loaded, tmp_path)
    nothing = AppliedMigrations({}, 100.0)
    assert history.record(OWNER, nothing).has_begun is False
    write_mark(people, 5000.0, "two")
    seen = history.record(OWNER, nothing)
    assert (seen.has_begun, seen.is_complete, seen.began_at) == (True, False, 5000.0)
    assert seen.phases["one"].is_applied is False
    assert seen.phases["two"] == PhaseProgress(True, 5000.0)
    write_mark(people, 6000.0, "one")
    seen = history.record(OWNER, nothing)
    assert (seen.is_complete, seen.ended_at) == (True, 6000.0)


def test_later_version_of_alembic_does_not_rewrite_the_history(tmp_path: Path) -> None:
    loaded = load_catalog(_pack(tmp_path, _with("{kind: alembic}")))
    history, _ = _history(loaded, tmp_path)
    assert history.record(OWNER, AppliedMigrations({}, 100.0)).has_begun is False
    assert history.record(OWNER, AppliedMigrations({"1": None}, 110.0)).is_complete
    seen = history.record(OWNER, AppliedMigrations({}, 120.0))
    assert seen.is_complete
    assert seen.rewritten_at is None


def test_mark_names_a_phase_that_there_is(tmp_path: Path) -> None:
    folder = _pack(tmp_path, _with("{kind: none}", ""))
    given = ["deploy", "mark", "--queries", str(folder), "--phase"]
    done = run(*given, "won")
    assert done.exit_code == 2
    assert "no phase won in deployment.yaml; known are one" in done.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (DEPLOYMENT, "nothing can show that the deployment has begun; run `loom-exporter check`"),
        (_with("{kind: django}"), "none of its migrations is in the history"),
        (_with("{kind: probe}", OBJECTS), "the objects of no phase are there"),
        (_with("{kind: none}", ""), "say so when it has: `loom-exporter deploy mark`"),
    ],
)
def test_what_is_said_before_the_deployment_names_what_would_show_it(
    tmp_path: Path, text: str, told: str
) -> None:
    assert not_begun(load_catalog(_pack(tmp_path, text))).endswith(told)

"""The format of a query's file, as the catalog reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.catalog import load_catalog
from exporter.catalog.query import parse_query
from exporter.catalog.requirement import Extension
from exporter.yaml_source import YamlError
from tests.support.queries import DEPLOYMENT, QUERY, make_folder, make_query, query_text

GAUGE = {"loom_things": {"value": "things"}}
TOKEN = {"type": "change_timestamp", "value": "token"}


def test_file_is_read_into_header_and_text() -> None:
    query = parse_query(Path("folder/things.sql"), QUERY)
    assert query.name == "things"
    assert query.header.description == "Counts things by kind."
    assert query.header.phase == "one"
    assert query.header.interval == 60
    assert query.text == "-- Why: because there are things.\nSELECT 'round' AS kind, 1 AS things"
    metric = query.metrics["loom_things"]
    assert (metric.type, metric.help, metric.labels, metric.value) == (
        "gauge",
        "Things by kind.",
        ("kind",),
        "things",
    )


def test_defaults_are_the_careful_ones() -> None:
    header = make_query("things", GAUGE).header
    assert header.access == "direct"
    assert 0 < header.timeout <= 2
    assert header.series_limit == 200
    assert header.max_age is None
    assert (header.requires.relations, header.requires.extensions) == ((), ())
    assert header.requires.server is None
    assert header.metrics["loom_things"].null == "skip"
    assert header.metrics["loom_things"].baseline is False


def test_every_key_is_read() -> None:
    header = make_query(
        "things",
        {"loom_things": {"value": "things", "null": "error", "baseline": True}},
        schedule="0 6 * * mon",
        timeout="250ms",
        access="definer",
        max_age="1h30m",
        series_limit=7,
        requires={
            "relations": ["public.things"],
            "extensions": ["pg_stat_statements >= 1.9", "pg_cron"],
            "server": ">= 15",
        },
    ).header
    assert (header.schedule, header.interval) == ("0 6 * * mon", None)
    assert (header.timeout, header.max_age, header.series_limit) == (0.25, 5400, 7)
    assert header.access == "definer"
    assert header.requires.relations == ("public.things",)
    assert header.requires.extensions == (
        Extension("pg_stat_statements", (1, 9)),
        Extension("pg_cron"),
    )
    assert header.requires.server == 15
    assert header.metrics["loom_things"].null == "error"
    assert header.metrics["loom_things"].baseline is True


def test_labels_and_tokens_are_text_and_values_are_numbers() -> None:
    query = make_query(
        "things",
        {
            "loom_things": {"labels": ["kind"], "value": "things"},
            "loom_things_info": {"type": "info", "labels": ["kind", "colour"]},
            "loom_things_timestamp_seconds": {**TOKEN, "at": "exact"},
        },
    )
    assert query.columns == {
        "kind": "text",
        "things": "double precision",
        "colour": "text",
        "exact": "double precision",
        "token": "text",
    }
    assert query.select.startswith('SELECT q."kind"::text AS "kind", q."things"::double precision')


def test_select_survives_a_comment_at_the_end() -> None:
    query = make_query("things", GAUGE, sql="SELECT 1 AS things -- and no more")
    assert query.select.endswith("-- and no more\n) AS q")


def test_a_token_may_also_be_a_label() -> None:
    query = make_query(
        "things",
        {
            "loom_things_timestamp_seconds": TOKEN,
            "loom_things_info": {"type": "info", "labels": ["token"]},
        },
    )
    assert query.columns == {"token": "text"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS things;",
        "  select 1 AS things  ;  ",
        "WITH a AS (SELECT 1 AS things) SELECT * FROM a",
        "(SELECT 1 AS things)",
        "VALUES (1)",
        "TABLE things",
        "SELECT ';' AS a, 1 AS things",
        "SELECT $q$ ; DELETE $q$ AS a, 1 AS things",
        'SELECT 1 AS ";", 2 AS things',
        "SELECT 1 AS things -- one; and a comment",
        "/* first; */ SELECT 1 AS things",
        "SELECT 'é; ' AS a, 1 AS things;;",
    ],
)
def test_one_select_in_any_shape_is_accepted(sql: str) -> None:
    query = make_query("things", GAUGE, sql=sql)
    assert query.text.startswith(sql.strip()[:6])
    assert not query.text.endswith(";")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; SELECT 2",
        "SELECT ';'; DROP TABLE things",
        "SELECT 'a'; b'",
        "UPDATE things SET a = 1",
        "/* SELECT */ DELETE FROM things",
        "DO $$ BEGIN END $$",
        "-- SELECT 1",
        ";",
    ],
)
def test_anything_but_one_select_is_refused(sql: str) -> None:
    with pytest.raises(YamlError, match=r"^things\.sql:\d+: (must be one|there is no SQL|not SQL)"):
        make_query("things", GAUGE, sql=sql)


@pytest.mark.parametrize(
    "schedule", ["0 6 * * *", "0-59/5 * * * *", "15 2 1 * *", "0 6 * * mon-fri", "@daily x x x x"]
)
def test_schedule_is_five_cron_fields(schedule: str) -> None:
    if schedule.startswith("@"):
        with pytest.raises(YamlError, match="schedule: not a cron expression"):
            make_query("things", GAUGE, schedule=schedule)
    else:
        assert make_query("things", GAUGE, schedule=schedule).header.schedule == schedule


def test_a_whole_schedule_may_stand_last_in_the_header() -> None:
    text = query_text(GAUGE, schedule="0 6 * * *")
    line = "schedule: 0 6 * * *\n"
    assert line in text
    for last in (line, f"{line.rstrip()} ", 'schedule: "0 6 * * *"'):
        moved = text.replace(line, "").replace("*/", f"{last}*/", 1)
        assert parse_query(Path("things.sql"), moved).header.schedule == "0 6 * * *"


def test_windows_line_ends_are_line_ends(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "queries", {"things.sql": QUERY.replace("\n", "\r\n")})
    (query,) = load_catalog(folder).queries
    assert query.text == parse_query(Path("things.sql"), QUERY).text


def test_folder_is_loaded_in_order_of_names(tmp_path: Path) -> None:
    files = {f"{name}.sql": QUERY.replace("loom_things", f"loom_{name}") for name in "cab"}
    catalog = load_catalog(make_folder(tmp_path / "queries", {**files, "notes.txt": "not a query"}))
    assert [query.name for query in catalog.queries] == ["a", "b", "c"]
    assert list(catalog.metrics()) == ["loom_a", "loom_b", "loom_c"]
    assert catalog.query("b") is catalog.queries[1]
    assert catalog.query("d") is None
    assert catalog.deployment.warmup == 1800
    assert list(catalog.deployment.phases) == ["one"]


def test_two_files_may_feed_one_metric(tmp_path: Path) -> None:
    catalog = load_catalog(make_folder(tmp_path / "queries", {"a.sql": QUERY, "b.sql": QUERY}))
    assert len(catalog.queries) == 2
    assert list(catalog.metrics()) == ["loom_things"]


def test_catalog_cannot_be_changed(tmp_path: Path) -> None:
    catalog = load_catalog(make_folder(tmp_path / "queries", {"things.sql": QUERY}))
    (query,) = catalog.queries
    for thing, name in (
        (catalog, "queries"),
        (query, "text"),
        (query.header, "interval"),
        (query.metrics["loom_things"], "help"),
        (catalog.deployment, "warmup"),
    ):
        with pytest.raises((AttributeError, ValueError), match=r"frozen|cannot assign"):
            setattr(thing, name, None)


def test_deployment_is_read_with_what_each_phase_leaves(tmp_path: Path) -> None:
    more = (
        "    objects: [{kind: view, object: v}]\n"
        "    policies: [{table: t, policy: P, command: select}]\n"
        "    audit_events: [e]\n"
        "tables: [t]\napi_roles: [r]\nexposed_schemas: [s]\n"
    )
    folder = make_folder(
        tmp_path / "queries", {"a.sql": QUERY, "deployment.yaml": DEPLOYMENT + more}
    )
    deployment = load_catalog(folder).deployment
    phase = deployment.phases["one"]
    assert (phase.migrations[0].version, phase.migrations[0].name) == ("1", "first")
    assert (phase.objects[0].kind, phase.objects[0].object) == ("view", "v")
    assert (phase.policies[0].table, phase.policies[0].command) == ("t", "select")
    assert phase.audit_events == ("e",)
    assert phase.rollback.risk == "low"
    assert (deployment.tables, deployment.api_roles) == (("t",), ("r",))
    assert deployment.exposed_schemas == ("s",)

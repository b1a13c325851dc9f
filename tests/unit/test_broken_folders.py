"""What is wrong with a folder of queries as a whole is told in one line for each fault."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import queries
from tests.support.commands import run
from tests.support.queries import QUERY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HERE = "things.sql"
YAML = "deployment.yaml"
DEPLOYMENT = queries.DEPLOYMENT + "history: {kind: rails}\n"
"""With what shows that its phase is applied."""


def make_folder(path: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write a folder whose deployment.yaml is right, unless `files` have another one."""
    return queries.make_folder(path, {YAML: DEPLOYMENT, **files})


def _check(folder: Path, *options: str) -> tuple[int, str, str]:
    result = run("check", "--queries", str(folder), *options)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("key", "line", "old", "new"),
    [
        ("type", 7, "type: gauge", "type: change_timestamp"),
        ("help", 8, "Things by kind.", "Things by colour."),
        ("labels", 9, "labels: [kind]", "labels: [colour]"),
    ],
)
def test_files_that_disagree_on_a_metric_are_told(
    key: str, line: int, old: str, new: str, tmp_path: Path
) -> None:
    right = QUERY.replace("loom_things:", "loom_things_timestamp_seconds:")
    wrong = right.replace(old, new)
    folder = make_folder(tmp_path / "queries", {"a.sql": right, "b.sql": wrong})
    assert _check(folder) == (
        2,
        "",
        f"loom-exporter: {folder / 'b.sql'}:{line}: metrics.loom_things_timestamp_seconds.{key}: "
        "differs from a.sql; make them alike\n",
    )


def test_metrics_that_openmetrics_takes_for_one_are_told(tmp_path: Path) -> None:
    counter = QUERY.replace("loom_things", "loom_things_total").replace("gauge", "counter")
    folder = make_folder(tmp_path / "queries", {"a.sql": QUERY, "b.sql": counter})
    code, _, err = _check(folder)
    assert code == 2
    assert err == (
        f"loom-exporter: {folder / 'b.sql'}:6: metrics.loom_things_total: loom_things and this are "
        "one metric to OpenMetrics; rename one of them\n"
    )


@pytest.mark.parametrize("name", ["Things.sql", "my-things.sql", "1st.sql", f"{'a' * 64}.sql"])
def test_file_name_that_cannot_be_a_function_is_told(name: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "queries", {name: QUERY})
    assert _check(folder) == (
        2,
        "",
        f"loom-exporter: {folder / name}: name the file in lower case, digits and _, "
        "such as users.sql\n",
    )


def test_missing_folder_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"
    code, _, err = _check(folder)
    assert code == 2
    assert err.startswith(f"loom-exporter: {folder}: not a folder; point --queries at one")
    assert len(err.splitlines()) == 1


def test_folder_without_a_query_is_told(tmp_path: Path) -> None:
    folder = queries.make_folder(tmp_path / "queries", {})
    code, _, err = _check(folder)
    assert code == 2
    assert err.startswith(f"loom-exporter: {folder}: holds no .sql file; point --queries at one")
    assert "nothing can show that it is applied" in err.splitlines()[1]


def test_missing_deployment_is_told(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "queries", {HERE: QUERY})
    (folder / YAML).unlink()
    assert _check(folder) == (
        2,
        "",
        f"loom-exporter: {folder / YAML}: cannot be read: No such file or directory\n",
    )


def test_folder_in_the_place_of_a_file_is_told(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "queries", {})
    (folder / HERE).mkdir()
    code, _, err = _check(folder)
    assert (code, err) == (
        2,
        f"loom-exporter: {folder / HERE}: cannot be read: Is a directory\n",
    )


def test_every_broken_file_has_a_line_of_its_own(tmp_path: Path) -> None:
    folder = make_folder(
        tmp_path / "queries",
        {
            "a.sql": "SELECT 1",
            "b.sql": QUERY.replace("gauge", "gouge"),
            "c.sql": QUERY.replace("phase: one", "phase: two"),
            "d.sql": QUERY,
            YAML: DEPLOYMENT,
        },
    )
    code, _, err = _check(folder)
    assert code == 2
    assert [line.split(": ")[1] for line in err.splitlines()] == [
        f"{folder / 'a.sql'}:1",
        f"{folder / 'b.sql'}:7",
        f"{folder / 'c.sql'}:3",
    ]


def test_a_machine_gets_the_same_lines_as_json(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "queries", {HERE: "SELECT 1"})
    code, out, err = _check(folder, "--format", "json")
    assert (code, err) == (2, "")
    assert json.loads(out) == {
        "problems": [f"{folder / HERE}:1: must begin with a header: /* YAML */"]
    }


def test_every_fault_of_every_file_is_told_at_once(tmp_path: Path) -> None:
    deployment = (
        queries.DEPLOYMENT.replace("warmup: 30m", "warmup: soon").replace("risk: low", "risk: tiny")
        + """\
  two:
    title: The second phase
    migrations: []
    rollback: {risk: low, advice: Wait.}
classes:
  fast: {relations: [public.things]}
  slow: {relations: [public.things.more]}
  other_one: {}
criteria:
  first:
    title: Refers to a faulty phase and a faulty class, which is no further fault
    phase: one
    conditions: [{class: slow, not_slower_than: baseline}]
  second:
    titel: Misspelt
    conditions: [{metric: loom_thigns, equals: 1}]
  third:
    title: Refers to what is nowhere
    phase: three
    conditions: [{metric: loom_thigns, equals: 1}]
tracked:
  - {title: Wrong, unit: parsec, metric: loom_things}
  - {title: Right, metric: loom_nothing}
"""
    )
    folder = make_folder(
        tmp_path / "queries",
        {
            "a.sql": QUERY.replace("gauge", "gouge").replace("interval: 1m", "interval: never")
            + "; DELETE FROM things",
            HERE: QUERY.replace("loom_things:", "loom_things_now:").replace("one", "four"),
            YAML: deployment,
        },
    )
    code, _, err = _check(folder)
    assert code == 2
    told = [
        line.removeprefix(f"loom-exporter: {folder}/").split(": ")[:2] for line in err.splitlines()
    ]
    assert told == [
        ["a.sql:4", "interval"],
        ["a.sql:7", "metrics.loom_things.type"],
        ["a.sql:13", "must be one statement; remove what follows the first `;`"],
        ["deployment.yaml:3", "warmup"],
        ["deployment.yaml:9", "phases.one.rollback.risk"],
        ["deployment.yaml:16", "classes.slow.relations.0"],
        ["deployment.yaml:17", "classes.other_one"],
        ["deployment.yaml:24", "criteria.second.titel"],
        ["deployment.yaml:28", "criteria.third.phase"],
        ["deployment.yaml:29", "criteria.third.conditions.0.metric"],
        ["deployment.yaml:31", "tracked.0.unit"],
        ["deployment.yaml:32", "tracked.1.metric"],
        ["things.sql:3", "phase"],
    ]

"""A `.http.yaml` file: what it may say, and one line for each mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter.catalog import CatalogError, load_catalog
from exporter.catalog.http_query import parse_http_query
from exporter.yaml_source import YamlError
from tests.support.queries import (
    HTTP_QUERY,
    QUERY,
    http_query_text,
    make_folder,
    make_http_query,
)

METRICS = HTTP_QUERY["metrics"]
EXPRESSION = {"path": None, "expression": "sum by (kind) (up)"}


def _problem(**changed: Any) -> str:
    with pytest.raises(YamlError) as raised:
        parse_http_query(Path("asked.http.yaml"), http_query_text(**changed))
    message = str(raised.value)
    assert message.startswith("asked.http.yaml:")
    assert len(message.splitlines()) == 1
    return message


def test_question_has_a_name_a_header_and_columns() -> None:
    query = make_http_query("asked", denominator="things")
    assert (query.name, query.header.source, query.header.rows) == ("asked", "things", "@")
    assert query.columns == {"kind": "text", "things": "double precision"}
    assert query.header.timeout == 10


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"path": None}, "give either `path` or `expression`"),
        ({"expression": "up"}, "give either `path` or `expression`"),
        ({**EXPRESSION, "parameters": {"a": "b"}}, "`parameters` belong to a `path`"),
        ({"host": "api.example"}, "host: unknown key"),
        ({"rows": "[?a"}, "rows: not JMESPath: "),
        ({"rows": "len(@)"}, "rows: not JMESPath: there is no function len()"),
        ({"fail_if": "a ||"}, "fail_if: not JMESPath: "),
        ({"interval": "10s"}, "`timeout` must be shorter than `interval`"),
        ({"interval": None}, "give either `interval` or `schedule`"),
        ({"timeout": "2m"}, "timeout: "),
        ({"access": "definer"}, "access: unknown key"),
        ({"parameters": {"since": "{yesterday}"}}, "nothing is known to stand for {yesterday}"),
        ({"path": None, "expression": "up offset {week}"}, "stand for {week}; known are {now}"),
        ({"source": "https://evil.example"}, "source: must be in lower case"),
    ],
)
def test_question_that_cannot_be_asked_is_refused(changed: dict[str, Any], told: str) -> None:
    assert told in _problem(**changed)


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/things",
        "//evil.example/things",
        "/a//evil.example",
        "things",
        "",
        "/..",
        "/a/../../b",
        "/a/./b",
        "/%2e%2e/b",
        "/a%2f%2fb",
        "/a\\..\\b",
        "/a b",
        "/a\tb",
        "/a\r\nHost: evil.example",
        "/a\x00b",
        "/a?b=c",
        "/a#b",
        "/ä",
        "/{deployment_start}",
    ],
)
def test_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    assert "path: must be a plain path below the address of the source" in _problem(path=path)


def test_selectors_of_promql_are_no_placeholders() -> None:
    expression = 'sum(rate(a{code=~"5.{2}", b!=""}[5m] offset 1w)) / {since_deployment}'
    query = make_http_query(path=None, expression=expression)
    assert query.placeholders == {"since_deployment"}
    assert query.filled({"since_deployment": "9s"})["expression"].endswith("/ 9s")


def test_folder_holds_both_kinds_and_each_name_once(tmp_path: Path) -> None:
    files = {"things.sql": QUERY, "asked.http.yaml": http_query_text()}
    catalog = load_catalog(make_folder(tmp_path / "both", files))
    assert [query.name for query in catalog.all_queries] == ["things", "asked"]
    assert [query.name for query in catalog.queries] == ["things"]
    assert catalog.query("asked") is catalog.http_queries[0]
    assert set(catalog.metrics()) == {"loom_things"}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("things.http.yaml", http_query_text(), "things.http.yaml: has the name of things.sql"),
        ("asked.http.yml", http_query_text(), "asked.http.yml: name it .http.yaml"),
        ("My-API.http.yaml", http_query_text(), "name the file in lower case, digits and _"),
        ("asked.http.yaml", "- a list", "must hold `key: value` pairs"),
        ("asked.http.yaml", http_query_text(phase="two"), "`two` is not in deployment.yaml"),
        (
            "asked.http.yaml",
            http_query_text(metrics={"loom_things": {**METRICS["loom_things"], "labels": []}}),
            "metrics.loom_things.labels: differs from things.sql",
        ),
        (
            "asked.http.yaml",
            http_query_text(
                metrics={"loom_suite_things": {"type": "gauge", "help": "A.", "value": "a"}}
            ),
            "loom_suite_things: this prefix is the exporter's own",
        ),
    ],
)
def test_file_that_does_not_fit_the_folder_is_named(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    folder = make_folder(tmp_path / "queries", {"things.sql": QUERY, name: text})
    with pytest.raises(CatalogError) as raised:
        load_catalog(folder)
    (problem,) = raised.value.problems
    assert told in problem

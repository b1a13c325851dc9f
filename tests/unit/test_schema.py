"""The published JSON Schemas are current, and say what the code says; so does the page of keys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from exporter import catalog
from exporter.catalog import Deployment, HttpQuery, Probe
from exporter.catalog.deployment_page import deployment_page
from exporter.catalog.header import Header
from exporter.catalog.schema import schema_text
from exporter.settings import packaged
from exporter.yaml_source import parse_document, read_document
from tests.support.queries import QUERY

FILES = {
    "sql": packaged("queries") / "header.schema.json",
    "http": packaged("queries") / "http.schema.json",
    "as": packaged("queries") / "as.schema.json",
    "deployment": packaged("queries") / "deployment.schema.json",
}

SHIPPED = {
    query.name: query for query in catalog.load_catalog(packaged("queries") / "loom").all_queries
}
ROOT = packaged("queries").parent

each_kind = pytest.mark.parametrize("kind", FILES)


def _validator(kind: str) -> Draft202012Validator:
    schema = json.loads(FILES[kind].read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return _validator("sql")


def _header() -> dict[str, Any]:
    header: dict[str, Any] = parse_document(QUERY[2 : QUERY.index("*/")], "things.sql").data
    return header


@each_kind
def test_schema_is_current(kind: str) -> None:
    assert FILES[kind].read_text(encoding="utf-8") == schema_text(kind), "run `make schema`"


@each_kind
def test_every_key_is_explained(kind: str) -> None:
    schema = _validator(kind).schema
    assert isinstance(schema, dict)
    for model in (schema, *schema["$defs"].values()):
        for key, content in model["properties"].items():
            assert content.get("description"), key


def test_page_of_deployment_yaml_is_current() -> None:
    page = (ROOT / "docs" / "deployment-yaml.md").read_text(encoding="utf-8")
    assert page == deployment_page(), "run `make docs`"


def test_page_has_every_key_of_deployment_yaml() -> None:
    schema = _validator("deployment").schema
    assert isinstance(schema, dict)
    page = deployment_page()
    for model in (schema, *schema["$defs"].values()):
        for key in model["properties"]:
            assert f"`{key}`" in page


def test_shipped_deployment_is_valid() -> None:
    data = read_document(packaged("queries") / "loom" / "deployment.yaml").data
    _validator("deployment").validate(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["fase"], "all"),
        (["name"], None),
        (["name"], "Loom"),
        (["warmup"], 1800),
        (["slow_statement"], "fast"),
        (["history"], {"kind": "knex"}),
        (["history"], {"kind": "flyway", "schema": "Ops.Schema"}),
        (["tables"], "users"),
        (["tables"], ["a.b.c"]),
        (["phases", "RLS"], {}),
        (["phases", "rls", "rollback", "risk"], "none"),
        (["phases", "rls", "migrations", 0, "version"], 20251021000002),
        (["phases", "mfa", "objects", 0, "kind"], "cube"),
        (["classes", "audit_log", "identities"], ["abc"]),
        (["criteria", "data_kept", "conditions", 0, "by"], 5),
        (["criteria", "data_kept", "conditions", 0, "labels"], {"kind": []}),
        (["suites", "rls", "planned"], 0),
    ],
    ids=str,
)
def test_broken_deployment_is_refused_by_schema_and_code_alike(
    path: list[str | int], value: object
) -> None:
    data = read_document(packaged("queries") / "loom" / "deployment.yaml").data
    inside = data
    for step in path[:-1]:
        inside = inside[step]
    if value is None:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    assert not _validator("deployment").is_valid(data)
    with pytest.raises(ValidationError):
        Deployment.model_validate(data)


@pytest.mark.parametrize("name", SHIPPED)
def test_header_of_a_shipped_query_is_valid(name: str) -> None:
    query = SHIPPED[name]
    kind = {HttpQuery: "http", Probe: "as"}.get(type(query), "sql")
    _validator(kind).validate(query.document.data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["fase"], "all"),
        (["description"], "no sentence"),
        (["description"], None),
        (["phase"], "Not A Phase"),
        (["interval"], 60),
        (["interval"], "60"),
        (["timeout"], "fast"),
        (["access"], "owner"),
        (["series_limit"], 0),
        (["requires"], {"server": "15"}),
        (["requires"], {"server": 15}),
        (["requires"], {"extensions": ["pg_cron > 1"]}),
        (["requires"], {"relations": ["users"]}),
        (["requires"], {"tables": []}),
        (["metrics"], {}),
        (["metrics", "Loom-Things"], {"type": "gauge", "help": "Things.", "value": "n"}),
        (["metrics", "loom_things", "type"], "histogram"),
        (["metrics", "loom_things", "help"], "Things"),
        (["metrics", "loom_things", "help"], None),
        (["metrics", "loom_things", "labels"], "kind"),
        (["metrics", "loom_things", "labels"], ["Kind"]),
        (["metrics", "loom_things", "null"], "zero"),
        (["metrics", "loom_things", "column"], "things"),
    ],
    ids=str,
)
def test_broken_header_is_refused_by_schema_and_code_alike(
    validator: Draft202012Validator, path: list[str], value: object
) -> None:
    header = _header()
    validator.validate(header)
    Header.model_validate(header)
    inside = header
    for step in path[:-1]:
        inside = inside[step]
    if value is None:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    assert not validator.is_valid(header)
    with pytest.raises(ValidationError):
        Header.model_validate(header)

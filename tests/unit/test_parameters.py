"""What deployment.yaml tells queries: names of every shape, as the catalogs have them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from exporter.catalog import load_catalog
from exporter.catalog.parameters import parameters
from exporter.catalog.relation_name import RelationName
from tests.support.queries import DEPLOYMENT, QUERY, make_folder

if TYPE_CHECKING:
    from pathlib import Path


def _told(folder: Path, text: str) -> dict[str, Any]:
    """Return the parameters of a deployment to which `text` is added."""
    loaded = load_catalog(
        make_folder(folder / "pack", {"a.sql": QUERY, "deployment.yaml": DEPLOYMENT + text})
    )
    return {name: json.loads(value) for name, value in parameters(loaded.deployment).items()}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("users", (None, "users")),
        ("hr.users", ("hr", "users")),
        ("Sales.Event Log", ("Sales", "Event Log")),
        ('"Sales"."Event Log"', ("Sales", "Event Log")),
        ('Sales."v1.0"', ("Sales", "v1.0")),
        ('"a ""b"""', (None, 'a "b"')),
    ],
)
def test_a_name_may_have_every_shape(text: str, parts: tuple[str | None, str]) -> None:
    assert RelationName.parse(text) == parts


def test_a_table_is_told_with_its_schema_and_one_label(tmp_path: Path) -> None:
    told = _told(tmp_path, "exposed_schemas: [Sales, hr]\ntables: [Orders, hr.Orders]\n")
    assert told["deployment.tables"] == [
        {"schema": "Sales", "name": "Orders", "table": "Orders"},
        {"schema": "hr", "name": "Orders", "table": "hr.Orders"},
    ]


@pytest.mark.parametrize(
    ("kind", "written", "expected"),
    [
        ("table", "hr.staff", {"schemas": ["hr"], "name": "staff"}),
        ("view", "staff", {"schemas": ["public"], "name": "staff"}),
        ("function", "f(uuid, text)", {"name": "f", "arguments": "uuid, text"}),
        ("function", "hr.f", {"schemas": ["hr"], "name": "f", "arguments": None}),
        ("function", "f()", {"name": "f", "arguments": ""}),
        ("trigger", "t on hr.staff", {"schemas": ["hr"], "name": "t", "parent": "staff"}),
        ("column", "city on staff", {"schemas": ["public"], "name": "city", "parent": "staff"}),
    ],
)
def test_an_object_is_told_in_parts(
    tmp_path: Path, kind: str, written: str, expected: dict[str, Any]
) -> None:
    text = DEPLOYMENT + f"    objects:\n      - {{kind: {kind}, object: '{written}'}}\n"
    folder = make_folder(tmp_path / "pack", {"a.sql": QUERY, "deployment.yaml": text})
    (told,) = json.loads(parameters(load_catalog(folder).deployment)["deployment.objects"])
    assert told["phase"] == "one"
    assert told["object"] == written, "the label is what was written"
    assert told.items() >= expected.items()


def test_a_query_gets_what_it_reads_only(tmp_path: Path) -> None:
    text = QUERY.replace("1 AS things", "current_setting('deployment.exposed_schemas') AS things")
    folder = make_folder(tmp_path / "pack", {"a.sql": text, "b.sql": QUERY.replace("things", "x")})
    a, b = load_catalog(folder).queries
    assert dict(a.parameters) == {"deployment.exposed_schemas": '["public"]'}
    assert not b.parameters

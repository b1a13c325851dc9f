"""A `.as.sql` file: what it may say, and one line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from exporter.catalog import CatalogError, load_catalog
from exporter.catalog.probe import PROBE_OK, Expectation, chain, parse_probe
from exporter.catalog.schema import schema_text
from exporter.sources.impersonation import Sighting
from exporter.yaml_source import YamlError
from tests.support.queries import DEPLOYMENT, QUERY, make_folder

CAN = {"rows": {"at_least": 1}}
RIGHT: dict[str, Any] = {
    "description": "A client sees things.",
    "phase": "one",
    "interval": "5m",
    "as": {"role": "authenticated", "subject": "client"},
    "expect": CAN,
}
SCHEMA = Draft202012Validator(json.loads(schema_text("as")))


def _text(sql: str = "SELECT 1 AS id", **changed: Any) -> str:
    whole = {key: value for key, value in {**RIGHT, **changed}.items() if value is not None}
    return f"/*\n{yaml.safe_dump(whole, sort_keys=False)}*/\n{sql};\n"


def _text_as(role: str) -> str:
    return _text().replace("role: authenticated", f"role: {role}")


def test_probe_has_a_name_a_caller_and_the_metric_of_all_probes() -> None:
    probe = parse_probe(Path("client_sees.as.sql"), _text())
    assert probe.name == "client_sees"
    assert (probe.header.caller.role, probe.header.caller.subject) == ("authenticated", "client")
    assert probe.header.expect == Expectation(1)
    assert (probe.header.timeout, probe.text) == (1.0, "SELECT 1 AS id")
    assert list(probe.metrics) == [PROBE_OK]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"as": None}, "as: this key is required"),
        ({"as": {"subject": "client"}}, "as.role: this key is required"),
        ({"expect": "allowed"}, "expect: must be `denied`, {rows: 0} or {rows: {at_least: N}}"),
        ({"expect": {"rows": 1}}, "expect: must be `denied`"),
        ({"expect": {"rows": {"at_least": 0}}}, "expect: must be `denied`"),
        ({"expect": {"rows": 0, "more": 1}}, "expect: must be `denied`"),
        ({"expect": {"rows": False}}, "expect: must be `denied`"),
        ({"expect": {"rows": {"at_least": True}}}, "expect: must be `denied`"),
        ({"insert_into": "things"}, "insert_into: must be a relation with its schema"),
        ({"metrics": {}}, "metrics: unknown key"),
        ({"timeout": "1m"}, "timeout: "),
    ],
    ids=str,
)
def test_probe_that_cannot_be_asked_is_refused_by_schema_and_code_alike(
    changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(YamlError) as raised:
        parse_probe(Path("client_sees.as.sql"), _text(**changed))
    assert str(raised.value).startswith("client_sees.as.sql:")
    assert told in str(raised.value)
    whole = {key: value for key, value in {**RIGHT, **changed}.items() if value is not None}
    if told != "timeout: ":  # how long a duration is, a schema of text does not say
        assert not SCHEMA.is_valid(whole)


@pytest.mark.parametrize("expect", ["denied", {"rows": 0}])
def test_what_finds_nothing_needs_a_control(expect: object) -> None:
    with pytest.raises(YamlError, match="proves nothing by itself; name a `control`"):
        parse_probe(Path("client_sees.as.sql"), _text(expect=expect))
    parse_probe(Path("client_sees.as.sql"), _text(expect=expect, control="other"))


def test_insertion_is_of_one_row() -> None:
    with pytest.raises(YamlError, match="with `insert_into`, expect"):
        parse_probe(
            Path("a.as.sql"), _text(expect={"rows": {"at_least": 2}}, insert_into="public.things")
        )


@pytest.mark.parametrize(
    "sql", ["INSERT INTO things VALUES (1)", "SELECT 1; SELECT 2", "RESET ROLE"]
)
def test_only_a_select_can_be_asked(sql: str) -> None:
    with pytest.raises(YamlError, match="must be one"):
        parse_probe(Path("a.as.sql"), _text(sql))


def _folder(path: Path, **probes: str) -> Path:
    files = {f"{name}.as.sql": text for name, text in probes.items()}
    deployment = DEPLOYMENT + "api_roles: [anon, authenticated]\n"
    return make_folder(path, {"things.sql": QUERY, "deployment.yaml": deployment, **files})


def test_controls_are_asked_first(tmp_path: Path) -> None:
    folder = _folder(
        tmp_path,
        a=_text(),
        b=_text(control="a"),
        c=_text(control="b", expect={"rows": 0}),
    )
    catalog = load_catalog(folder)
    assert [query.name for query in catalog.queries] == ["things"]
    by_name = {probe.name: probe for probe in catalog.probes}
    assert [probe.name for probe in chain(by_name["c"], by_name)] == ["a", "b", "c"]
    assert PROBE_OK in catalog.metrics()


@pytest.mark.parametrize(
    ("probes", "told"),
    [
        ({"a": _text(control="b")}, "a.as.sql:11: control: there is no probe b.as.sql"),
        ({"a": _text(control="a")}, "control: the controls go in a circle"),
        ({"a": _text_as("postgres")}, "as.role: postgres is not among api_roles"),
        (
            {
                "a": _text(),
                "b": _text(control="a", expect="denied"),
                "c": _text(control="b"),
            },
            "c.as.sql:11: control: b is expected to find nothing",
        ),
        ({"things": _text()}, "has the name of things.sql"),
        ({"a": _text(phase="two")}, "phase: `two` is not in deployment.yaml"),
    ],
)
def test_probe_that_does_not_fit_the_folder_is_named(
    tmp_path: Path, probes: dict[str, str], told: str
) -> None:
    with pytest.raises(CatalogError) as raised:
        load_catalog(_folder(tmp_path, **probes))
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("expected", "rows", "holds"),
    [
        (Expectation(1), ("a",), True),
        (Expectation(2), ("a",), False),
        (Expectation(1), (), False),
        (Expectation(1), None, False),
        (Expectation(0), (), True),
        (Expectation(0), None, True),
        (Expectation(0), ("a",), False),
        (Expectation(None), None, True),
        (Expectation(None), (), False),  # refused is not the same as finding nothing
        (Expectation(None), ("a",), False),
    ],
    ids=str,
)
def test_what_is_found_meets_what_is_expected_or_not(
    expected: Expectation, rows: tuple[str, ...] | None, holds: bool
) -> None:
    assert Sighting(rows).meets(expected) is holds

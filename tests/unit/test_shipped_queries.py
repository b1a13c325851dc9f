"""The shipped queries: their style, and that they and deployment.yaml say the same.

Whether they run is for the tests on a real server to say.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from exporter import catalog
from exporter.catalog.parameters import parameters
from exporter.settings import packaged_queries

if TYPE_CHECKING:
    from exporter.catalog import Query

FOLDER = packaged_queries()
CATALOG = catalog.load_catalog(FOLDER)
DEPLOYMENT = CATALOG.deployment
QUERIES = {query.name: query for query in CATALOG.queries}

TABLES = set(DEPLOYMENT.tables)

_LITERAL = r"'(?:[^']|'')*'"
_ROW = re.compile(rf"\(\s*({_LITERAL}(?:\s*,\s*{_LITERAL})*)\s*\)")

each_query = pytest.mark.parametrize("query", CATALOG.queries, ids=list(QUERIES))


def _code(query: Query) -> str:
    return re.sub(r"--[^\n]*", "", query.text)


def _relations(query: Query) -> set[str]:
    """Return what stands behind FROM and JOIN, but for functions and subqueries."""
    code = re.sub(r"\b(?:DISTINCT|epoch)\s+FROM\b", "", _code(query))
    return set(re.findall(r"\b(?:FROM|JOIN)\s+([a-z_][a-z_.]*)\b(?!\s*\()", code))


def _is_of_the_catalog(name: str) -> bool:
    return name.startswith("pg_catalog.")


def _values(name: str, alias: str) -> set[tuple[str, ...]]:
    """Return the rows of `(VALUES …) AS alias`, or of `alias (…) AS (VALUES …)`."""
    code = _code(QUERIES[name])
    row = rf"\s*\((?:{_LITERAL}|[^')])*\)"
    rows = rf"VALUES({row}(?:\s*,{row})*)\s*\)"
    found = re.search(rf"{rows}\s*AS\s+{alias}\b", code) or re.search(
        rf"\b{alias}\s*\([^)]*\)\s*AS\s*\(\s*{rows}", code
    )
    assert found, f"{name}.sql has no VALUES called {alias}"
    return {
        tuple(literal[1:-1].replace("''", "'") for literal in re.findall(_LITERAL, match[1]))
        for match in _ROW.finditer(found[1])
    }


def _lists(name: str, operator: str) -> list[set[str]]:
    """Return the literals of each list that stands behind `operator` in a query."""
    lists = re.findall(rf"\b{operator}\s*\(([^)]*)\)", _code(QUERIES[name]))
    return [{literal[1:-1] for literal in re.findall(_LITERAL, each)} for each in lists]


@each_query
def test_query_says_why(query: Query) -> None:
    lines = query.text.splitlines()
    assert lines[0].startswith("-- Why: ")
    comment = [line for line in lines if line.startswith("--")]
    assert lines[: len(comment)] == comment, "the reason stands together, above the statement"
    assert any(line.rstrip().endswith(".") for line in comment)


@each_query
def test_description_and_help_are_short_sentences(query: Query) -> None:
    for text in (query.header.description, *(metric.help for metric in query.metrics.values())):
        assert text[0].isupper()
        assert text.endswith(".")
        assert not text.endswith("..")
        assert text == text.strip()
        assert len(text) <= 130, text


@each_query
def test_file_is_tidy(query: Query) -> None:
    text = query.path.read_text(encoding="utf-8")
    assert text.endswith(";\n")
    assert "\t" not in text
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
    assert max(map(len, text.splitlines())) <= 120


@each_query
def test_metric_names_say_their_unit(query: Query) -> None:
    for name, metric in query.metrics.items():
        assert name.startswith("loom_")
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        if "size" in (metric.value or ""):
            assert name.endswith("_bytes")
        if re.search(r"[Uu]nix time", metric.help):
            assert name.endswith("_timestamp_seconds")


@each_query
def test_query_is_done_well_before_it_runs_again(query: Query) -> None:
    assert query.header.timeout <= 5, "nothing of ours holds anybody up for long"
    assert query.header.interval is not None
    assert query.header.timeout <= query.header.interval / 4


@each_query
def test_tables_of_the_application_are_read_through_a_function_only(query: Query) -> None:
    read = {name for name in _relations(query) if "." in name and not _is_of_the_catalog(name)}
    assert (query.header.access == "definer") == bool(read)
    assert read <= set(query.header.requires.relations), "without them it is absent, not failed"


@each_query
def test_query_does_without_a_search_path(query: Query) -> None:
    unqualified = {name for name in _relations(query) if "." not in name}
    own = set(re.findall(r"\b([a-z_]+)(?:\s*\([^()]*\))?\s+AS\s*\(", _code(query)))
    assert unqualified <= own


@each_query
def test_query_of_a_phase_is_of_a_phase_of_the_deployment(query: Query) -> None:
    assert query.header.phase in {*DEPLOYMENT.phases, "all"}


def test_what_stands_in_deployment_yaml_stands_nowhere_else() -> None:
    told = parameters(DEPLOYMENT)
    for query in CATALOG.queries:
        assert set(query.parameters) == {name for name in told if name in query.text}, query.name
        assert query.path.parent == FOLDER or not any(
            name in query.text
            for names in (DEPLOYMENT.tables, DEPLOYMENT.api_roles)
            for name in names
        )


def test_audit_events_are_those_of_the_deployment() -> None:
    expected = {event for phase in DEPLOYMENT.phases.values() for event in phase.audit_events}
    assert {row[0] for row in _values("audit_expected_events", "expected")} == expected
    assert _lists("audit_expected_events", "IN") == [expected]
    listed = {row[0] for row in _values("audit_events", "kind")}
    assert expected < listed
    assert _lists("audit_last_event", "IN") == [listed - {"other"}] * 2, "IN and NOT IN"


def test_columns_are_of_tables_of_the_deployment() -> None:
    assert {row[0] for row in _values("rls_policy_columns", "expected")} <= TABLES


def test_commands_of_policies_are_those_that_are_counted() -> None:
    commands = {row[1] for row in _values("rls_policies", "k")}
    assert commands == {"select", "insert", "update", "delete", "all"}


def test_what_is_compared_with_before_is_a_gauge_of_the_deployment() -> None:
    marked = {
        name
        for query in CATALOG.queries
        for name, metric in query.metrics.items()
        if metric.baseline
    }
    assert {"loom_users", "loom_mfa_discrepancies", "loom_resource_collection_items"} <= marked
    # Two files that feed one metric agree also on this, which nobody exposes.
    for query in CATALOG.queries:
        for name, metric in query.metrics.items():
            assert metric.baseline == (name in marked), f"{query.name}: {name}"

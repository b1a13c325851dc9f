"""Every query of every dashboard parses, and names only what /metrics and Prometheus have."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import promql_parser
import pytest
import yaml

from tests.support.contract import ALL
from tests.support.dashboards import FOLDER, boards, fill, panels
from tests.support.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WINDOWS = {"__rate_interval": "5m", "__range": "7d"}
"""The only variables that a query could not be parsed with; any other is a string."""

OF_A_SCRAPE = {"job", "instance"}

OF_PROMETHEUS = {
    "up": frozenset[str](),
    "scrape_duration_seconds": frozenset[str](),
    # The last three of each are those of our alert rules.
    "ALERTS": frozenset({"alertname", "alertstate", "database", "severity", "phase"}),
    "ALERTS_FOR_STATE": frozenset({"alertname", "database", "severity", "phase"}),
}
"""Labels of the series that Prometheus makes itself."""


class Query(NamedTuple):
    """A query, and where it stands; `panel` is empty for annotations and variables."""

    board: str
    panel: str
    expression: str

    @property
    def nodes(self) -> list[Any]:
        return _nodes(fill(self.expression, WINDOWS))


def _nodes(expression: str) -> list[Any]:
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(expression), found.append)
    return found


def _selectors(nodes: list[Any]) -> list[promql_parser.VectorSelector]:
    return [node for node in nodes if isinstance(node, promql_parser.VectorSelector)]


def _labels(metric: str | None) -> frozenset[str]:
    """Return the labels of a metric.

    Raises:
        AssertionError: nobody exposes it.
    """
    assert metric is not None
    if metric in OF_PROMETHEUS:
        return OF_PROMETHEUS[metric] | OF_A_SCRAPE
    base = re.sub(r"_(bucket|sum|count)$", "", metric)
    if base != metric and metric not in ALL:
        assert ALL[base].type == "histogram"
        return ALL[base].labels | OF_A_SCRAPE | {"le"}
    assert metric in ALL, f"{metric} is not exposed"
    return ALL[metric].labels | OF_A_SCRAPE


def _is_by(modifier: promql_parser.AggModifier | None) -> TypeGuard[promql_parser.AggModifier]:
    return modifier is not None and modifier.type == promql_parser.AggModifierType.By


def _kept_labels(query: Query) -> list[tuple[str, list[str]]]:
    """Return each expression that is aggregated `by` labels, and these labels."""
    return [
        (node.expr.prettify(), node.modifier.labels)
        for node in query.nodes
        if isinstance(node, promql_parser.AggregateExpr) and _is_by(node.modifier)
    ]


def _targets(query: Query) -> list[promql_parser.VectorSelector]:
    """Return what the linter looks at: of panels only, without what .lint gives a reason for."""
    selectors = _selectors(query.nodes) if query.panel else []
    return [each for each in selectors if not str(each.name).startswith("ALERTS")]


def _counters(query: Query) -> set[str]:
    return {str(each.name) for each in _selectors(query.nodes) if str(each.name).endswith("_total")}


def _queries() -> Iterator[Query]:
    for panel in panels():
        for target in panel.targets:
            yield Query(panel.board, panel.json["title"], target.expression)
    for uid, board in boards().items():
        for annotation in board["annotations"]["list"]:
            yield Query(uid, "", annotation["expr"])
        for variable in board["templating"]["list"]:
            if found := re.fullmatch(r"label_values\((.+), \w+\)", str(variable["query"])):
                yield Query(uid, "", found[1])


QUERIES = list(_queries())


def each_query(
    concerns: Callable[[Query], object] = lambda query: True,
) -> pytest.MarkDecorator:
    """Run a test for each query that its claim concerns."""
    queries = [query for query in QUERIES if concerns(query)]
    ids = [f"{query.board}: {query.panel}" for query in queries]
    return pytest.mark.parametrize("query", queries, ids=ids)


@each_query()
def test_query_parses_and_has_no_variable_that_is_not_there(query: Query) -> None:
    """target-promql-rule, template-label-promql-rule."""
    assert query.nodes
    own = {each["name"] for each in boards()[query.board]["templating"]["list"]}
    assert set(re.findall(r"\$(\w+)", query.expression)) <= own | {"__rate_interval", "__range"}


@each_query()
def test_query_names_only_metrics_and_labels_that_exist(query: Query) -> None:
    for selector in _selectors(query.nodes):
        matched = {matcher.name for matcher in selector.matchers.matchers}
        assert matched <= _labels(selector.name)


@each_query(_kept_labels)
def test_query_keeps_only_labels_that_its_series_have(query: Query) -> None:
    for expression, labels in _kept_labels(query):
        selectors = _selectors(_nodes(expression))
        assert set(labels) <= {label for each in selectors for label in _labels(each.name)}


@each_query(_targets)
def test_query_is_about_what_is_selected(query: Query) -> None:
    """target-job-rule, target-instance-rule; and whatever has a database is asked of one."""
    for selector in _targets(query):
        matched = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
        wanted = OF_A_SCRAPE | ({"database"} & _labels(selector.name))
        assert {name: matched.get(name) for name in wanted} == {name: f"${name}" for name in wanted}


@each_query(lambda query: "[" in query.expression)
def test_rates_are_over_the_interval_that_suits_the_scrapes(query: Query) -> None:
    """target-rate-interval-rule."""
    calls = re.findall(r"\b(i?rate|increase|changes)\([^\[\]]+\[([^\]]+)\]", query.expression)
    assert len(calls) == query.expression.count("[")
    for function, window in calls:
        assert window == ("$__rate_interval" if function.endswith("rate") else "$__range")


@each_query(lambda query: query.panel and _counters(query))
def test_counters_are_only_seen_to_grow(query: Query) -> None:
    """target-counter-agg-rule."""
    growing = {
        selector.name
        for node in query.nodes
        if isinstance(node, promql_parser.Call) and node.func.name in ("rate", "increase")
        for selector in _selectors(_nodes(node.prettify()))
    }
    assert _counters(query) <= growing


def test_prometheus_itself_understands_every_query(tmp_path: Path) -> None:
    promtool = require_tool("promtool", "LOOM_TEST_PROMTOOL")
    rules = tmp_path / "rules.yaml"
    recorded = [
        {"record": f"dashboard:query:{number}", "expr": fill(query.expression, WINDOWS)}
        for number, query in enumerate(QUERIES)
    ]
    rules.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": recorded}]}))
    done = subprocess.run(
        [str(promtool), "check", "rules", str(rules)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(recorded)} rules found" in done.stdout


def test_what_is_excluded_from_the_linter_has_a_reason_and_is_there() -> None:
    exclusions = yaml.safe_load((FOLDER / ".lint").read_text(encoding="utf-8"))["exclusions"]
    titles = {(boards()[panel.board]["title"], panel.json["title"]) for panel in panels()}
    for exclusion in exclusions.values():
        assert exclusion["reason"]
        assert {(each["dashboard"], each["panel"]) for each in exclusion["entries"]} <= titles

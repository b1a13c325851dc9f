"""Every alert is tested, routed, explained by a runbook, and rests on metrics that exist."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import pgparse
import promql_parser
import pytest
import yaml

from alerts.build import generated_files
from exporter.catalog import load_catalog
from exporter.durations import parse_duration
from exporter.settings import packaged_queries
from tests.support.alert_rules import (
    ALERTING,
    ALERTS,
    CASES,
    GROUPS,
    INPUT_SERIES,
    OF_LOOM,
    RECORDING,
    RULE_FILES,
    RUNBOOKS,
)
from tests.support.contract import ALL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.support.alert_rules import Rule

DEPLOYMENT = load_catalog(packaged_queries()).deployment
NAMES = {rule.name for rule in ALERTING}
RECORDED = {rule.name for rule in RECORDING}
SEVERITIES = {"critical", "warning", "info"}
HEARTBEAT = "LoomWatchdog"
DASHBOARDS = {
    "/d/loom-deployment",
    "/d/loom-query-performance",
    "/d/loom-integrity-security",
    "/d/loom-exporter",
}
# Labels that Prometheus adds when it scrapes, and those that the recording rules add.
TARGET_LABELS = {"job", "instance"}
LABELS_OF_RULES = {"window", "phase", "severity", "of"}
NOT_OURS = {"up"}
OF_A_PACK = "LoomCriterionFailed"
"""Its severity and its phase are those that a pack gives the criterion."""


SPEAKS_INSTEAD = {
    "LoomStatementRegression": "LoomStatementCallsMissing",
    "LoomStatementRegressionFast": "LoomStatementCallsMissing",
    "LoomStatementRegressionDay": "LoomStatementCallsMissing",
    "LoomStatementCoverageLow": "LoomStatementCallsMissing",
    "LoomStatementCallsMissing": "LoomBaselineRefused",  # what it divides by is the baseline's own
    "LoomRowsLost": "LoomBaselineRefused",
    "LoomConnectionsNearLimit": "LoomDatabaseDown",
    "LoomSequentialScans": "LoomQueryFailing",  # without a scan there is none that is too slow
}
"""Alerts on a ratio, and who speaks when its denominator is gone."""

SQL_OF_RUNBOOKS = [
    pytest.param(block, id=page.stem)
    for page in sorted(RUNBOOKS.glob("*.md"))
    for block in re.findall(r"```sql\n(.+?)```", page.read_text(encoding="utf-8"), re.DOTALL)
]


def each(
    rules: Iterable[Rule], concerns: Callable[[Rule], object] = lambda rule: True
) -> pytest.MarkDecorator:
    """Run a test for each rule that its claim concerns."""
    concerned = [rule for rule in rules if concerns(rule)]
    return pytest.mark.parametrize("rule", concerned, ids=lambda rule: rule.name)


each_alert = each(ALERTING)


def _divisions(rule: Rule) -> Iterator[Any]:
    for node in rule.nodes:
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) == "/":
            yield node


def _is_comparison(node: Any) -> bool:
    return isinstance(node, promql_parser.BinaryExpr) and str(node.op) in {
        "==", "!=", ">", "<", ">=", "<=",
    }  # fmt: skip


def _cannot_be_zero(node: Any) -> bool:
    if isinstance(node, promql_parser.ParenExpr):
        return _cannot_be_zero(node.expr)
    if isinstance(node, promql_parser.NumberLiteral):
        return bool(node.val)
    if isinstance(node, promql_parser.Call):
        return str(node.func.name) in {"clamp", "clamp_min"}
    if _is_comparison(node):
        filters = node.modifier is None or not node.modifier.return_bool
        return str(node.op) == ">" and filters
    return str(node.op) == "^" and _cannot_be_zero(node.lhs)


@cache
def _basis(name: str) -> frozenset[str]:
    """Return all rules on which the rule rests, itself included."""
    rules = [rule for rule in [*ALERTING, *RECORDING] if rule.name == name]
    used = {str(selector.name) for rule in rules for selector in rule.selectors()} & RECORDED
    return frozenset({name}).union(*(_basis(other) for other in used - {name}))


@each_alert
def test_alert_is_seen_to_fire_and_to_keep_silent(rule: Rule) -> None:
    cases = [case for case in CASES if case["alertname"] == rule.name]
    assert any(case.get("exp_alerts") for case in cases), "it never fires in alerts/tests"
    if rule.name != HEARTBEAT:
        assert any(not case.get("exp_alerts") for case in cases), "it always fires in alerts/tests"


def test_tests_name_only_alerts_that_exist() -> None:
    """promtool takes it for granted that an alert which does not exist keeps silent."""
    assert {case["alertname"] for case in CASES} == NAMES


@each([*ALERTING, *RECORDING], lambda rule: any(rule.selectors()))
def test_rule_uses_only_metrics_and_labels_that_exist(rule: Rule) -> None:
    for selector in rule.selectors():
        _assert_known(selector)


def test_tests_use_only_metrics_and_labels_that_exist() -> None:
    for series in INPUT_SERIES:
        _assert_known(promql_parser.parse(series))


def _assert_known(selector: Any) -> None:
    name = str(selector.name)
    used = {matcher.name for matcher in selector.matchers.matchers}
    if name in RECORDED:
        known = LABELS_OF_RULES | {"database", "class", "role"}
    elif name in NOT_OURS:
        known = TARGET_LABELS
    elif name.endswith("_baseline"):
        metric = load_catalog(packaged_queries()).metrics()[name.removesuffix("_baseline")]
        assert metric.baseline, f"{name}: the metric is not remembered"
        known = {"database", *metric.labels, *TARGET_LABELS}
    else:
        assert name in ALL, f"no such metric: {name}"
        known = {*ALL[name].labels, *TARGET_LABELS}
    assert used <= known, f"{name} has no label {used - known}"


@each_alert
def test_labels_that_are_told_are_there(rule: Rule) -> None:
    told = set(re.findall(r"\$labels\.(\w+)", " ".join(rule.annotations.values())))
    known = {label for promise in ALL.values() for label in promise.labels}
    assert told <= known | LABELS_OF_RULES | TARGET_LABELS
    for label in told:
        assert re.search(rf"\b{label}\b", rule.raw["expr"]) or _comes_from_a_rule(rule, label)


def _comes_from_a_rule(rule: Rule, label: str) -> bool:
    return any(
        label in other.labels or re.search(rf"\b{label}\b", other.raw["expr"])
        for other in RECORDING
        if other.name in _basis(rule.name)
    )


@each_alert
def test_expression_has_a_comparison(rule: Rule) -> None:
    assert any(_is_comparison(node) for node in rule.nodes)


@each([*ALERTING, *RECORDING], lambda rule: any(_divisions(rule)))
def test_nothing_is_divided_by_what_can_be_zero(rule: Rule) -> None:
    for division in _divisions(rule):
        assert _cannot_be_zero(division.rhs), f"{division.rhs.prettify()} can be 0"


def test_somebody_speaks_when_the_denominator_of_an_alert_is_gone() -> None:
    divided = {rule.name for rule in [*ALERTING, *RECORDING] if any(_divisions(rule))}
    on_a_ratio = {rule.name for rule in ALERTING if _basis(rule.name) & divided}
    assert set(SPEAKS_INSTEAD) == on_a_ratio
    assert set(SPEAKS_INSTEAD.values()) <= NAMES
    for alert, other in SPEAKS_INSTEAD.items():
        assert not _basis(alert) & _basis(other) & divided


@each_alert
def test_labels_route_the_alert(rule: Rule) -> None:
    if rule.name == HEARTBEAT:
        assert rule.labels["severity"] == "none"
    elif rule.name == OF_A_PACK:
        assert "severity" in rule.raw["expr"], "it is that of the criterion"
    else:
        assert rule.labels["severity"] in SEVERITIES
    # Some have it from the series: then a recording rule says which.
    if "phase" in rule.labels:
        assert rule.labels["phase"] in {*DEPLOYMENT.phases, "all"}
    else:
        assert (
            "loom:class:phase" in _basis(rule.name)
            or "phase" in rule.raw["expr"]
            or _recorded_phases(rule)
        )
    assert not any("$value" in value for value in rule.labels.values())


def _recorded_phases(rule: Rule) -> set[str]:
    basis = _basis(rule.name)
    return {
        other.labels["phase"]
        for other in RECORDING
        if other.name in basis and "phase" in other.labels
    }


@each_alert
def test_annotations_tell_what_is_and_where_to_look(rule: Rule) -> None:
    assert re.fullmatch(r"[A-Z][^{}]*\.", rule.annotations["summary"])
    description = re.sub(r"\{\{ with .*?end \}\}", "", rule.annotations["description"])
    assert description.rstrip("}\"'").endswith(".")
    assert rule.annotations["dashboard_url"] in DASHBOARDS
    assert rule.annotations["runbook_url"] == f"/alerts/runbooks/{rule.name}.md"
    assert (RUNBOOKS / f"{rule.name}.md").is_file()


@each_alert
def test_page_tells_the_risk_of_rolling_back(rule: Rule) -> None:
    told = rule.annotations.get("rollback")
    if rule.labels["severity"] != "critical" and rule.name != OF_A_PACK:
        assert told is None
        return
    assert told
    if rule.file not in OF_LOOM:
        assert "loom_phase_info" in told, "the advice is that of the pack"
        return
    phases = {rule.labels["phase"]} if "phase" in rule.labels else _recorded_phases(rule)
    for name in phases - {"all"}:
        rollback = DEPLOYMENT.phases[name].rollback
        assert f"{rollback.risk.capitalize()} risk. {rollback.advice}" in told


@each([*ALERTING, *RECORDING], lambda rule: rule.file not in OF_LOOM)
def test_rule_for_every_pack_knows_nothing_of_loom(rule: Rule) -> None:
    text = yaml.safe_dump(rule.raw)
    text = text.replace("row-level security", "")
    for name in (*DEPLOYMENT.phases, *DEPLOYMENT.classes, *DEPLOYMENT.tables):
        assert not re.search(rf"\b{name}\b", text), name


@each(ALERTING, lambda rule: rule.file not in OF_LOOM)
def test_runbook_for_every_pack_knows_nothing_of_loom(rule: Rule) -> None:
    page = (RUNBOOKS / f"{rule.name}.md").read_text(encoding="utf-8")
    page = page.replace("row-level security", "")
    for name in (*DEPLOYMENT.phases, *DEPLOYMENT.classes, *DEPLOYMENT.tables):
        assert not re.search(rf"\b{name}\b", page), name
    assert "queries/loom" not in page
    assert "rollback-loom" not in page


@each([*ALERTING, *RECORDING], lambda rule: rule.file not in OF_LOOM)
def test_rule_for_every_pack_joins_by_database(rule: Rule) -> None:
    for labels in re.findall(r"\bon \(([^)]*)\)", rule.raw["expr"]):
        assert "database" in labels or labels == "window", labels


@each(ALERTING, lambda rule: "absent" in rule.raw["expr"])
def test_absence_is_no_alert_at_once(rule: Rule) -> None:
    assert parse_duration(rule.raw["for"]) >= 60


def test_groups_are_evaluated_within_the_memory_of_a_query() -> None:
    """A recorded value is seen for five minutes."""
    names = [group["name"] for group in GROUPS]
    assert len(names) == len(set(names))
    assert all(parse_duration(group["interval"]) <= 300 for group in GROUPS)


def test_every_runbook_belongs_to_an_alert() -> None:
    assert {page.stem for page in RUNBOOKS.glob("Loom*.md")} == NAMES


@each_alert
def test_runbook_answers_what_is_asked_at_night(rule: Rule) -> None:
    page = (RUNBOOKS / f"{rule.name}.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    assert headings == [rule.name, "What it means", "Look", "Do", "Roll back?", "Silence"]
    assert rule.annotations["summary"] in page
    assert f"alertname={rule.name}" in page
    for metric in re.findall(r"\bloom_[a-z_0-9]+", page):
        assert metric in ALL or metric == "loom_monitor", f"no such metric: {metric}"
    for recorded in re.findall(r"\bloom:[a-z_0-9:]+", page):
        assert recorded in RECORDED
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page):
        assert (RUNBOOKS / link).is_file(), f"leads nowhere: {link}"


@pytest.mark.parametrize("block", SQL_OF_RUNBOOKS)
def test_sql_of_a_runbook_is_sql(block: str) -> None:
    assert pgparse.parse(block)


def test_generated_files_are_current() -> None:
    for name, text in generated_files().items():
        assert (ALERTS / name).read_text(encoding="utf-8") == text, f"{name}: run `make alerts`"


def test_every_rule_file_is_generated_and_is_in_the_resource_for_the_operator() -> None:
    assert {str(path.relative_to(ALERTS)) for path in RULE_FILES} == {
        name for name in generated_files() if name.startswith("rules/")
    }
    resources = [
        yaml.safe_load((ALERTS / f"{name}.yaml").read_text(encoding="utf-8"))
        for name in ("prometheusrule", "prometheusrule-loom")
    ]
    assert [group for each in resources for group in each["spec"]["groups"]] == GROUPS

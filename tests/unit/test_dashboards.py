"""The dashboards are what the code makes, and keep the rules that Grafana's own linter has.

The linter cannot be installed from any registry of Python packages; its rules are named here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from exporter.comparison.rule import LEAST_COVERAGE, SLOWER
from grafana.board import TAG
from grafana.build import dashboards
from tests.support.dashboards import FOLDER, RED, Panel, boards, colour_of, panels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PROVISIONING = Path(__file__).parents[2] / "grafana" / "provisioning"

BOARDS = boards()
PANELS = {panel.name: panel for panel in panels()}

UNITS = {
    *("none", "short", "percentunit", "bytes", "s", "ops", "bool_yes_no", "dateTimeFromNow"),
}
"""Those of Grafana's list that we use."""

CONFIG_MAP_BYTES = 2**20
GRID_COLUMNS = 24


def each_board() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("board", list(BOARDS.values()), ids=list(BOARDS))


def each_panel(concerns: Callable[[Panel], object] = lambda panel: True) -> pytest.MarkDecorator:
    """Run a test for each panel that its claim concerns."""
    panels = {name: panel for name, panel in PANELS.items() if concerns(panel)}
    return pytest.mark.parametrize("panel", panels.values(), ids=panels)


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    overrides: list[dict[str, Any]] = panel.json["fieldConfig"]["overrides"]
    return overrides


def _links(node: Any) -> Iterator[str]:
    """Yield the addresses that clicks in a dashboard lead to."""
    if isinstance(node, dict):
        if "url" in node:
            yield node["url"]
        for each in node.values():
            yield from _links(each)
    elif isinstance(node, list):
        for each in node:
            yield from _links(each)


def test_what_is_committed_is_what_the_code_makes() -> None:
    committed = {
        str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8")
        for path in FOLDER.rglob("*.json")
    }
    assert committed == dashboards(), "make dashboards"


def test_there_are_the_four_that_others_link_to() -> None:
    assert set(BOARDS) == {
        "loom-deployment",
        "loom-query-performance",
        "loom-integrity-security",
        "loom-exporter",
    }


@each_board()
def test_dashboard_is_one_of_grafanas_classic_schema(board: Mapping[str, Any]) -> None:
    known = json.loads(JSONEncoder().encode(Dashboard.from_json(dict(board))))
    assert {**known, "annotations": None} == {**board, "annotations": None}
    assert 36 <= board["schemaVersion"] <= 41  # from Grafana 9.4 on
    assert "id" not in board or board["id"] is None
    assert len(board["uid"]) <= 40


@each_board()
def test_dashboard_is_read_only_and_leads_to_the_others(board: Mapping[str, Any]) -> None:
    """uneditable-dashboard."""
    assert board["editable"] is False
    assert board["title"].startswith("Loom / ")
    assert board["description"]
    assert TAG in board["tags"]
    (link,) = board["links"]
    assert (link["type"], link["tags"]) == ("dashboards", [TAG])
    assert link["keepTime"]
    assert link["includeVars"]


@each_board()
def test_dashboard_can_be_pointed_at_any_exporter(board: Mapping[str, Any]) -> None:
    """template-datasource-rule, -job-rule, -instance-rule, -on-time-change-reload-rule."""
    source, *variables = board["templating"]["list"]
    assert (source["name"], source["label"]) == ("datasource", "Data source")
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    assert [each["name"] for each in variables][:3] == ["job", "instance", "database"]
    for each in variables:
        assert each["type"] == "query"
        assert each["datasource"] == {"type": "prometheus", "uid": "$datasource"}
        assert each["label"] == each["name"].capitalize()
        assert each["refresh"] == 2
        if each["name"] != "database":
            assert each["multi"]
            assert each["allValue"] == ".+"


@each_board()
def test_every_panel_has_a_number_of_its_own(board: Mapping[str, Any]) -> None:
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(numbers) == len(set(numbers))


@each_board()
def test_lines_of_panels_are_full_and_do_not_overlap(board: Mapping[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        taken |= cells
    ends = {place["y"] + place["h"] for place in (panel["gridPos"] for panel in board["panels"])}
    assert taken == {(x, y) for x in range(GRID_COLUMNS) for y in range(max(ends))}


@each_board()
def test_phases_and_alerts_are_marked_on_the_time_axis(board: Mapping[str, Any]) -> None:
    phases, history, alerts = board["annotations"]["list"]
    for mark in (phases, history):
        # In milliseconds, so that Grafana takes the value for the time.
        assert mark["useValueForTime"]
        assert mark["expr"].endswith(" * 1000")
    assert "loom_deployment_timestamp_seconds" in phases["expr"]
    assert "loom_deployment_history_rewritten_timestamp_seconds" in history["expr"]
    assert 'ALERTS{alertstate="firing"' in alerts["expr"]


def test_clicks_lead_to_a_dashboard_that_takes_what_they_bring() -> None:
    links = [url for board in BOARDS.values() for url in _links(board["panels"])]
    assert links
    for url in links:
        found = re.fullmatch(r"/d/([a-z-]+)\?(.+)", url)
        assert found, url
        variables = {each["name"] for each in BOARDS[found[1]]["templating"]["list"]}
        assert set(re.findall(r"(?<=\{)\w+(?=:queryparam)", found[2])) <= variables
        assert set(re.findall(r"(?<=&var-)\w+", found[2])) <= variables
        assert "${__url_time_range}" in found[2]


def test_slow_class_leads_to_its_statements() -> None:
    panel = PANELS["loom-deployment: Speed by class"]
    (link,) = panel.properties("Class")["links"]
    assert link["url"].startswith("/d/loom-query-performance?")
    assert link["url"].endswith("&var-class=${__data.fields.Class}")
    assert panel.columns["class"] == "Class"


@each_panel()
def test_panel_says_what_is_good_and_what_to_do(panel: Panel) -> None:
    """panel-title-description-rule, panel-datasource-rule, panel-no-targets-rule."""
    assert panel.json["title"]
    assert len(panel.json["description"].split()) >= 12
    assert panel.json["description"].endswith((".", ")"))
    assert panel.json["datasource"] == {"type": "prometheus", "uid": "$datasource"}
    assert panel.targets
    for target in panel.json["targets"]:
        assert target["datasource"] == {"type": "prometheus", "uid": "$datasource"}
    refs = [target.ref for target in panel.targets]
    assert len(refs) == len(set(refs))


@each_panel()
def test_every_value_has_a_unit(panel: Panel) -> None:
    """panel-units-rule; where a table has several, it looks at the panel's own as well."""
    assert panel.json["fieldConfig"]["defaults"]["unit"] in UNITS
    assert {panel.unit(target) for target in panel.targets} <= UNITS


@each_panel(_overrides)
def test_whatever_is_overridden_is_there(panel: Panel) -> None:
    for override in _overrides(panel):
        matcher = override["matcher"]
        if matcher["id"] == "byName":
            assert matcher["options"] in panel.columns.values()
        else:
            assert matcher["id"] == "byRegexp"
            pattern = re.compile(matcher["options"].strip("/"))
            assert any(pattern.search(each["legendFormat"]) for each in panel.json["targets"])


def test_no_two_panels_say_the_same() -> None:
    for said, count in (
        *Counter(panel.json["title"] for panel in PANELS.values()).items(),
        *Counter(tuple(t.expression for t in panel.targets) for panel in PANELS.values()).items(),
    ):
        assert count == 1, said


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("loom-query-performance: Actual over expected time", SLOWER),
        ("loom-deployment: Speed by class", SLOWER),
        ("loom-query-performance: Time spent in statements with a baseline", LEAST_COVERAGE),
    ],
)
def test_red_begins_where_the_decision_rule_decides(name: str, limit: float) -> None:
    panel = PANELS[name]
    below, above = (
        colour_of(value, panel.steps(panel.targets[0])) for value in (limit - 0.001, limit + 0.001)
    )
    assert (below == RED) != (above == RED)


def test_cluster_gets_every_dashboard_by_the_label_that_the_sidecar_looks_for() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    files = [name for each in kustomization["configMapGenerator"] for name in each["files"]]
    assert sorted(files) == sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.json"))
    assert kustomization["generatorOptions"]["labels"] == {"grafana_dashboard": "1"}
    for name in files:
        assert (FOLDER / name).stat().st_size < CONFIG_MAP_BYTES


def test_plain_grafana_is_provisioned_with_a_data_source_and_the_folder() -> None:
    (source,) = _provisioned("datasources/prometheus.yaml")["datasources"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    (provider,) = _provisioned("dashboards/loom.yaml")["providers"]
    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False
    assert provider["options"]["path"]


def _provisioned(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((PROVISIONING / name).read_text(encoding="utf-8"))
    assert read["apiVersion"] == 1
    return read

"""The chart as a whole: what it promises beside the effect of each value."""

from __future__ import annotations

import re
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import exporter
from deploy.helm.build import generated_files
from exporter.settings import load_settings
from tests.support.alert_rules import GROUPS, OF_LOOM
from tests.support.helm import CHART, EVERYTHING, SECRET, helm, render
from tests.support.kustomize import (
    OLDEST,
    assert_valid,
    compose,
    of_kind,
    pod_templates,
    selects,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.support.kustomize import Manifest

METADATA = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))


def test_chart_has_the_version_of_the_exporter() -> None:
    assert METADATA["version"] == METADATA["appVersion"] == exporter.__version__
    assert METADATA["kubeVersion"] == f">={OLDEST}-0"


def test_copies_are_current() -> None:
    files = generated_files()
    for name, text in files.items():
        assert (CHART / name).read_text(encoding="utf-8") == text, f"{name}: run `make chart`"
    there = {str(path.relative_to(CHART)) for path in (CHART / "files").rglob("*.*")}
    assert there == {name for name in files if name.startswith("files/")}


@pytest.mark.parametrize("values", [SECRET, EVERYTHING], ids=["least", "everything"])
def test_linter_has_nothing_to_say(values: Mapping[str, Any]) -> None:
    code, said = helm("lint", "--strict", str(CHART), values=values)
    assert code == 0, said
    assert not re.search(r"\[(WARNING|ERROR)\]", said)


def test_package_has_what_the_templates_read(tmp_path: Path) -> None:
    code, said = helm("package", str(CHART), "--destination", str(tmp_path))
    assert code == 0, said
    with tarfile.open(tmp_path / f"loom-exporter-{exporter.__version__}.tgz") as package:
        names = set(package.getnames())
    assert {f"loom-exporter/{name}" for name in generated_files()} <= names


def test_names_of_digits_stay_text(tmp_path: Path) -> None:
    """Else YAML reads a number, or `on` as true; a release may be called by a ticket's number."""
    name = "123"
    values = {
        **EVERYTHING,
        "image": {"pullSecrets": [name]},
        "database": {
            "existingSecret": {"name": name, "key": "on"},
            "ca": {"existingSecret": name, "key": "on"},
        },
        "webConfig": {"existingSecret": name, "caKey": name},
        "persistence": {"existingClaim": name},
        "serviceAccount": {"name": name},
        "priorityClassName": name,
        "ingress": {**EVERYTHING["ingress"], "className": name},
        "fullnameOverride": name,
        "nameOverride": name,
    }
    assert_valid([each for each in render(values, name, name) if "." not in _group(each)], tmp_path)


def _group(each: Manifest) -> str:
    """Return the group of an object, if it is another project's."""
    group = each["apiVersion"].rpartition("/")[0]
    return "" if group.endswith(".k8s.io") and not group.startswith("gateway.") else group


def test_host_of_an_ingress_may_be_a_wildcard() -> None:
    values = {**SECRET, "ingress": {"enabled": True, "hosts": ["*.example.org"]}}
    (ingress,) = of_kind(render(values), "Ingress")
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == ["*.example.org"]


def test_network_policy_without_a_peer_lets_only_its_own_pods_in() -> None:
    values = {**SECRET, "networkPolicy": {"enabled": True, "from": []}}
    (policy,) = of_kind(render(values), "NetworkPolicy")
    (incoming,) = policy["spec"]["ingress"]
    assert incoming["from"] == [{"podSelector": policy["spec"]["podSelector"]}]


COMPONENTS = sorted(EVERYTHING.keys() - SECRET.keys())


@pytest.mark.parametrize("enabled", ["alone", "left out"])
def test_chart_is_valid_with_each_component_alone_and_without_it(
    enabled: str, tmp_path: Path
) -> None:
    objects = [
        each
        for name in COMPONENTS
        for each in render(
            {**SECRET, name: EVERYTHING[name]}
            if enabled == "alone"
            else {key: value for key, value in EVERYTHING.items() if key != name}
        )
        if "." not in _group(each)
    ]
    assert_valid(objects, tmp_path)


def _comparable(template: Manifest) -> Manifest:
    """Return a pod's template without what each of the two says about itself."""
    text = yaml.safe_dump(template)
    text = re.sub(r"loom-exporter-settings-\w+", "loom-exporter-settings", text)
    kept: Manifest = yaml.safe_load(text)
    kept["metadata"].setdefault("annotations", {}).pop("checksum/settings", None)
    for label in ("managed-by", "part-of", "version"):
        kept["metadata"]["labels"].pop(f"app.kubernetes.io/{label}", None)
    for container in kept["spec"]["containers"]:
        container["image"] = container["image"].partition(":")[0]
        container.pop("imagePullPolicy", None)
        # kustomize's asks a variable what inconclusive is, for a patch; the chart has a value.
        if container.pop("env", None):
            container["args"] = [container["args"][0].replace('"$INCONCLUSIVE"', "0")]
    return kept


def test_chart_and_kustomize_render_the_same_pods(tmp_path: Path) -> None:
    chart = dict(pod_templates(render({**SECRET, **_JOBS})))
    kustomize = dict(pod_templates(compose(tmp_path, ["verify", "baseline"])))
    assert chart.keys() == kustomize.keys()
    for name, template in chart.items():
        assert _comparable(template) == _comparable(kustomize[name]), name


def test_chart_and_kustomize_agree_on_what_holds_the_pods(tmp_path: Path) -> None:
    chart = {(e["kind"], e["metadata"]["name"]): e for e in render({**SECRET, **_JOBS})}
    compared = set()
    for each in compose(tmp_path, ["verify", "baseline"]):
        kind = each["kind"]
        if kind in ("Deployment", "CronJob", "PersistentVolumeClaim"):
            found = _without_pod(chart[kind, each["metadata"]["name"]]["spec"])
            assert found == _without_pod(each["spec"]), kind
            compared.add(kind)
    assert compared == {"Deployment", "CronJob", "PersistentVolumeClaim"}


def _without_pod(spec: Manifest) -> Manifest:
    """Return what is said of pods besides their template: when, how often, and for how long."""
    copied: Manifest = yaml.safe_load(yaml.safe_dump(spec))
    copied.get("jobTemplate", {}).get("spec", copied).pop("template", None)
    return copied


def test_chart_and_kustomize_render_the_same_pod_with_all_that_is_mounted(tmp_path: Path) -> None:
    components = ["verify", "baseline", "own-queries", "web-config", "database-ca", "probes"]
    values = {
        "database": {
            **SECRET["database"],
            "ca": {"existingSecret": "loom-exporter-ca"},
            "probeSecret": {"name": "loom-exporter-probes"},
        },
        "queries": {"existingConfigMap": "loom-exporter-queries"},
        "webConfig": {"existingSecret": "loom-exporter-web"},
        **_JOBS,
    }
    chart = dict(pod_templates(render(values)))
    for name, template in pod_templates(compose(tmp_path, components)):
        expected = _comparable(template)
        found = _comparable(chart[name])
        for part in ("volumes", "containers"):
            assert _by_name(found["spec"].pop(part)) == _by_name(expected["spec"].pop(part))
        assert found == expected


_JOBS = {"verify": {"enabled": True}, "baseline": {"enabled": True}}


def _by_name(parts: Sequence[Manifest]) -> dict[str, Manifest]:
    """Return volumes or containers by their names: their order means nothing."""
    found = {part["name"]: dict(part) for part in parts}
    for part in found.values():
        if "volumeMounts" in part:
            part["volumeMounts"] = _by_name(part["volumeMounts"])
    return found


def test_releases_in_one_namespace_do_not_select_each_other() -> None:
    first, second = (render(EVERYTHING, release) for release in ("shop", "library"))
    others = [template for _, template in pod_templates(second)]
    assert others
    for each in first:
        spec = each.get("spec", {})
        for selector in (spec.get("selector"), spec.get("podSelector")):
            if selector:
                labels = selector.get("matchLabels", selector)
                assert not [other for other in others if selects(labels, other)], each["kind"]
    names = [{(e["kind"], e["metadata"]["name"]) for e in objects} for objects in (first, second)]
    assert not names[0] & names[1]


def test_state_outlives_the_release() -> None:
    (claim,) = of_kind(render(SECRET), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_sources_reach_the_exporter_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {"logs": {"kind": "loki", "url": "https://loki.example.org"}}
    objects = render({**SECRET, "settings": {"sources": sources}})
    (settings,) = (each["data"] for each in of_kind(objects, "ConfigMap"))
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    loaded = load_settings().sources["logs"]
    assert (loaded.kind, str(loaded.url).rstrip("/")) == ("loki", "https://loki.example.org")


def test_pod_is_new_when_a_setting_changes_and_only_then() -> None:
    def checksum(values: Mapping[str, Any]) -> str:
        (deployment,) = of_kind(render({**SECRET, **values}), "Deployment")
        annotations = deployment["spec"]["template"]["metadata"]["annotations"]
        return str(annotations["checksum/settings"])

    assert checksum({"settings": {"max_interval": "5s"}}) != checksum({})
    # Queries are taken up by the pod that runs.
    first, second = ({"queries": {"inline": {"a.sql": text}}} for text in ("SELECT 1", "SELECT 2"))
    assert checksum(first) == checksum(second)


def _rules(**values: Any) -> list[dict[str, Any]]:
    rules = {**SECRET, "prometheusRule": {"enabled": True, **values}}
    (resource,) = [each for each in render(rules) if each["kind"] in ("PrometheusRule", "VMRule")]
    groups: list[dict[str, Any]] = resource["spec"]["groups"]
    return groups


def _changed(change: Any) -> list[dict[str, Any]]:
    """Return the shipped groups with each alert changed in place."""
    groups: list[dict[str, Any]] = yaml.safe_load(yaml.safe_dump({"groups": GROUPS}))["groups"]
    for group in groups:
        for rule in group["rules"]:
            if "alert" in rule:
                change(rule)
    return groups


def test_rules_are_installed_by_no_release_unless_it_is_asked_to() -> None:
    assert not of_kind(render(SECRET), "PrometheusRule")


def test_rules_and_dashboards_of_loom_are_left_out_with_queries_of_your_own() -> None:
    values = {**SECRET, "prometheusRule": {"enabled": True}, "dashboards": {"enabled": True}}
    own = {**values, "queries": {"inline": {"a.sql": "SELECT 1"}}}
    of_loom = {
        group["name"]
        for path in OF_LOOM
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    }
    assert _shipped(values) - _shipped(own) == {*of_loom, "loom-integrity-security.json"}
    assert _shipped(own) - _shipped(values) == {"a.sql"}


def _shipped(values: Mapping[str, Any]) -> set[str]:
    """Return the names of the groups of rules, and the keys of the ConfigMaps that hold files."""
    objects = render(values)
    groups = [
        group for each in of_kind(objects, "PrometheusRule") for group in each["spec"]["groups"]
    ]
    keys = [key for each in of_kind(objects, "ConfigMap") for key in each["data"]]
    return {group["name"] for group in groups} | {key for key in keys if "." in key}


def test_rules_lead_to_your_runbooks_and_dashboards() -> None:
    def addressed(rule: dict[str, Any]) -> None:
        annotations = rule["annotations"]
        page = annotations["runbook_url"].removeprefix("/alerts/runbooks")
        annotations["runbook_url"] = f"https://runbooks.example.org/loom{page}"
        annotations["dashboard_url"] = f"https://grafana.example.org{annotations['dashboard_url']}"

    urls = {
        "runbookUrl": "https://runbooks.example.org/loom/",
        "grafanaUrl": "https://grafana.example.org",
    }
    assert _rules(**urls) == _changed(addressed)


def test_rules_without_an_address_have_no_dead_link() -> None:
    def unaddressed(rule: dict[str, Any]) -> None:
        del rule["annotations"]["runbook_url"], rule["annotations"]["dashboard_url"]

    assert _rules() == _changed(unaddressed)


def test_rules_can_be_left_out_and_changed() -> None:
    def changed(rule: dict[str, Any]) -> None:
        del rule["annotations"]["runbook_url"], rule["annotations"]["dashboard_url"]
        rule["labels"] = {**rule["labels"], "team": "data"}
        if rule["alert"] == "LoomQueryStale":
            rule["for"] = "30m"
            rule["labels"]["severity"] = "info"

    expected = _changed(changed)
    for group in expected:
        group["rules"] = [r for r in group["rules"] if r.get("alert") != "LoomWatchdog"]
    found = _rules(
        additionalRuleLabels={"team": "data"},
        disabled=["LoomWatchdog"],
        overrides={"LoomQueryStale": {"for": "30m", "severity": "info"}},
    )
    assert found == expected


def test_victoria_metrics_counts_no_first_value_as_an_increase() -> None:
    found = [rule["expr"] for group in _rules(kind="VMRule") for rule in group["rules"]]
    shipped = [rule["expr"] for group in GROUPS for rule in group["rules"]]
    assert found != shipped
    assert [expr.replace("increase_prometheus(", "increase(") for expr in found] == shipped


def test_scrape_of_victoria_metrics_has_the_operators_fields() -> None:
    """Those that its documentation names: no package publishes its types."""
    (scrape,) = of_kind(render(EVERYTHING), "VMServiceScrape")
    assert scrape["apiVersion"] == "operator.victoriametrics.com/v1beta1"
    assert scrape["spec"].keys() <= {"endpoints", "namespaceSelector", "sampleLimit", "selector"}
    (endpoint,) = scrape["spec"]["endpoints"]
    assert endpoint.keys() <= {
        *("port", "path", "scheme", "interval", "scrapeTimeout", "tlsConfig", "basicAuth"),
        *("relabelConfigs", "metricRelabelConfigs"),
    }


def test_what_helm_says_after_an_installation_names_what_exists() -> None:
    arguments = ("install", "shop", str(CHART), "--dry-run=client", "--namespace", "loom")
    code, said = helm(*arguments, values={**EVERYTHING, "prometheusRule": {"enabled": False}})
    assert code == 0, said
    notes = said[said.index("\nNOTES:\n") :]
    names = {each["metadata"]["name"] for each in render(EVERYTHING, "shop")}
    for kind, name in re.findall(r"(deployment|service|cronjob)/(\S+)", notes):
        assert name in names, f"{kind}/{name}"
    assert "loom-exporter grants" in notes
    assert "https://localhost:10187/" in notes
    assert "Alert rules are not installed by this release" in notes


def test_helm_test_asks_whether_the_exporter_is_alive() -> None:
    (pod,) = of_kind(render(SECRET), "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = pod["spec"]["containers"]
    assert container["args"] == ["healthcheck", "--listen", "loom-exporter:10187"]

"""What the Prometheus operator and Grafana's sidecar are given."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import yaml

from tests.support.kustomize import (
    ROOT,
    assert_published,
    compose,
    of_kind,
    render_overlay,
    selects,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_service_monitor_finds_the_service(tmp_path: Path) -> None:
    objects = compose(tmp_path, ["service-monitor"])
    (monitor,) = of_kind(objects, "ServiceMonitor")
    (service,) = of_kind(objects, "Service")
    spec = monitor["spec"]
    assert selects(spec["selector"]["matchLabels"], service)
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert int(endpoint["scrapeTimeout"][:-1]) < int(endpoint["interval"][:-1])


def test_series_outlive_the_pod(tmp_path: Path) -> None:
    (monitor,) = of_kind(compose(tmp_path, ["service-monitor"]), "ServiceMonitor")
    instance, dropped = monitor["spec"]["endpoints"][0]["relabelings"]
    assert instance["targetLabel"] == "instance"
    assert not [label for label in instance["sourceLabels"] if "pod" in label]
    assert dropped["action"] == "labeldrop"
    assert "pod" in dropped["regex"].split("|")


def test_endpoint_with_tls_is_scraped_with_tls_and_its_certificate_checked(tmp_path: Path) -> None:
    objects = compose(tmp_path, ["service-monitor", "web-config"])
    (monitor,) = of_kind(objects, "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["scheme"] == "https"
    assert "insecureSkipVerify" not in endpoint["tlsConfig"]
    (deployment,) = of_kind(objects, "Deployment")
    volumes = {each["name"]: each for each in deployment["spec"]["template"]["spec"]["volumes"]}
    mounted = volumes["web"]["secret"]["secretName"]
    assert endpoint["tlsConfig"]["ca"] == {"secret": {"name": mounted, "key": "ca.crt"}}
    (service,) = of_kind(objects, "Service")
    assert endpoint["tlsConfig"]["serverName"] == service["metadata"]["name"]


def test_prometheus_rule_is_that_of_the_alerts() -> None:
    rules = of_kind(render_overlay("monitoring"), "PrometheusRule")
    (monitor,) = of_kind(render_overlay("operator"), "ServiceMonitor")
    files = (ROOT / "alerts").glob("prometheusrule*")
    sources = [yaml.safe_load(path.read_text()) for path in files]
    assert {each["metadata"]["name"]: each["spec"] for each in rules} == {
        each["metadata"]["name"]: each["spec"] for each in sources
    }
    assert_published(rules)
    # One Prometheus must find all.
    release = monitor["metadata"]["labels"]["release"]
    assert {each["metadata"]["labels"]["release"] for each in rules} == {release}


def test_rules_and_dashboards_come_with_no_instance() -> None:
    together = {"PrometheusRule", "ConfigMap"}
    assert {each["kind"] for each in render_overlay("monitoring")} == together
    for overlay in ("minimal", "operator", "supabase"):
        objects = render_overlay(overlay)
        assert not of_kind(objects, "PrometheusRule")
        assert all("settings" in each["metadata"]["name"] for each in of_kind(objects, "ConfigMap"))


def test_every_dashboard_is_listed_for_the_sidecar() -> None:
    folder = ROOT / "grafana" / "dashboards"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["configMapGenerator"]
    files = [file for generator in listed for file in generator["files"]]
    assert sorted(files) == sorted(str(path.relative_to(folder)) for path in folder.rglob("*.json"))
    # Each in a ConfigMap of its own, as one may hold 1 MiB.
    assert all(len(generator["files"]) == 1 for generator in listed)


def test_sidecar_finds_a_dashboard_by_its_label(tmp_path: Path) -> None:
    for name in ("deploy", "grafana"):
        shutil.copytree(ROOT / name, tmp_path / name)
    folder = tmp_path / "grafana" / "dashboards"
    dashboard = json.dumps({"uid": "loom-new", "panels": []})
    (folder / "new.json").write_text(dashboard)
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    kustomization["configMapGenerator"].append({"name": "loom-new", "files": ["new.json"]})
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    (overlay := tmp_path / "overlay").mkdir()
    objects = compose(overlay, ["dashboards"], tmp_path / "deploy" / "kubernetes")
    labelled = {
        each["metadata"]["name"]: each
        for each in of_kind(objects, "ConfigMap")
        if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
    }
    assert labelled["loom-new"]["data"] == {"new.json": dashboard}
    assert labelled["loom-new"]["metadata"]["annotations"] == {"grafana_folder": "Loom"}
    assert len(labelled) == len(kustomization["configMapGenerator"])

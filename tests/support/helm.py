"""The Helm chart as Helm renders it."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.kustomize import ROOT
from tests.support.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.kustomize import Manifest

CHART = ROOT / "deploy" / "helm" / "loom-exporter"
SECRET: Mapping[str, Any] = {"database": {"existingSecret": {"name": "loom-exporter-database"}}}
"""The one value that has to be set."""

EVERYTHING: Mapping[str, Any] = {
    **SECRET,
    "webConfig": {"existingSecret": "loom-exporter-web"},
    "queries": {"inline": {"deployment.yaml": "name: shop-orders\n"}},
    "scrapeAnnotations": ["prometheus.io", "k8s.grafana.com"],
    "serviceMonitor": {"enabled": True},
    "podMonitor": {"enabled": True},
    "vmServiceScrape": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboards": {"enabled": True},
    "networkPolicy": {"enabled": True},
    "ingress": {"enabled": True, "hosts": ["loom.example.org"]},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]},
    "verify": {"enabled": True},
    "baseline": {"enabled": True},
}
"""All that can be enabled, as it is by default."""


def helm(*arguments: str, values: Mapping[str, Any] | None = None) -> tuple[int, str]:
    """Run helm; return its exit code, and what it prints or complains about."""
    done = subprocess.run(
        [require_tool("helm", "LOOM_TEST_HELM"), *arguments, "--values=-"]
        if values is not None
        else [require_tool("helm", "LOOM_TEST_HELM"), *arguments],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout if done.returncode == 0 else done.stdout + done.stderr


def render(
    values: Mapping[str, Any], release: str = "loom-exporter", namespace: str = "loom-exporter"
) -> list[Manifest]:
    """Return the objects of a release."""
    objects: list[Manifest] = json.loads(_rendered(json.dumps(values), release, namespace))
    return objects


@cache
def _rendered(values: str, release: str, namespace: str) -> str:
    arguments = ("template", release, str(CHART), "--namespace", namespace)
    code, said = helm(*arguments, values=json.loads(values))
    assert code == 0, said
    return json.dumps([each for each in yaml.safe_load_all(said) if each])

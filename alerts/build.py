"""Writes `prometheusrule.yaml`, for the Prometheus operator, from the rules beside this file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent

HEADER = """\
# The rules of rules/*.yaml for the Prometheus operator. Made by `make alerts`: change those.
# The operator picks it up by labels: add those that your Prometheus selects (its ruleSelector).
"""


def groups() -> list[dict[str, Any]]:
    """Return the groups of all rule files, in the order of the files' names."""
    return [
        group
        for path in sorted((HERE / "rules").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    ]


def prometheus_rule() -> str:
    """Return the resource, as YAML."""
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "loom-exporter",
            "labels": {
                "app.kubernetes.io/name": "loom-exporter",
                "app.kubernetes.io/component": "alerts",
            },
        },
        "spec": {"groups": groups()},
    }
    return HEADER + yaml.dump(resource, Dumper=_Dumper, sort_keys=False, width=1000)


class _Dumper(yaml.SafeDumper):
    """Keeps expressions of several lines as they were written."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)

if __name__ == "__main__":
    sys.stdout.write(prometheus_rule())

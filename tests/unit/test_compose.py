"""compose.yaml as it is written; what it runs is tested in e2e/test_compose.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.tools import require_tool

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def _mounts() -> list[tuple[str, str]]:
    return [
        (name, volume.split(":")[0])
        for name, service in SERVICES.items()
        for volume in service.get("volumes", [])
    ]


def test_compose_file_has_the_form_of_the_specification() -> None:
    command = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run(
        [command, "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("service", "source"), _mounts())
def test_what_is_mounted_is_there(service: str, source: str) -> None:
    if not source.startswith("."):
        assert source in COMPOSE["volumes"], f"{service} mounts a volume that nobody declares"
        return
    path = (DEPLOY / source).resolve()
    assert path.exists(), f"{service} mounts {path}, and the engine would make an empty folder"


def test_nobody_is_reached_from_elsewhere_and_the_database_by_nobody() -> None:
    for name, service in SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    assert "ports" not in SERVICES["database"]
    assert SERVICES["database"]["networks"] == ["database"]
    assert COMPOSE["networks"]["database"] == {"internal": True}


def test_what_runs_our_image_can_write_nothing_but_its_volume() -> None:
    ours = {name: s for name, s in SERVICES.items() if s["image"] == "loom-exporter"}
    assert {"exporter", "grants", "application"} == set(ours)
    for service in ours.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert (DEPLOY / service["build"]["context"] / "Dockerfile").is_file()


def test_everybody_can_reach_whom_they_depend_on_and_name() -> None:
    networks = {name: set(service.get("networks", [])) for name, service in SERVICES.items()}
    for client, server in (
        *(("exporter", "database"), ("application", "database"), ("install-grants", "database")),
        *(("deploy", "database"), ("prometheus", "exporter"), ("prometheus", "alertmanager")),
        ("grafana", "prometheus"),
    ):
        assert networks[client] & networks[server], f"{client} cannot reach {server}"
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_prometheus_accepts_its_configuration_and_scrapes_the_exporter() -> None:
    promtool = require_tool("promtool", "LOOM_TEST_PROMTOOL")
    file = DEPLOY / "compose" / "prometheus.yaml"
    done = subprocess.run(
        [promtool, "check", "config", "--syntax-only", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load(file.read_text())
    (scrape,) = config["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": ["exporter:10187"]}]
    (alertmanagers,) = config["alerting"]["alertmanagers"]
    assert alertmanagers["static_configs"] == [{"targets": ["alertmanager:9093"]}]


def test_alertmanager_accepts_its_configuration() -> None:
    amtool = require_tool("amtool", "LOOM_TEST_AMTOOL")
    file = DEPLOY / "compose" / "alertmanager.yaml"
    done = subprocess.run(
        [amtool, "check-config", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_files_are_where_each_program_is_told_to_look() -> None:
    mounted = {
        name: dict(volume.split(":")[1::-1] for volume in service.get("volumes", []))
        for name, service in SERVICES.items()
    }
    for name in ("prometheus", "alertmanager"):
        (flag,) = (f for f in SERVICES[name]["command"] if f.startswith("--config.file="))
        assert flag.removeprefix("--config.file=") in mounted[name]
    config = yaml.safe_load((DEPLOY / "compose" / "prometheus.yaml").read_text())
    rules, of_loom = config["rule_files"]
    assert Path(of_loom).parent == Path(rules).parent / "loom"
    assert mounted["prometheus"][str(Path(rules).parent)] == "../alerts/rules"
    provisioning = ROOT / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "loom.yaml").read_text())[
        "providers"
    ]
    assert mounted["grafana"][provider["options"]["path"]] == "../grafana/dashboards"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in SERVICES

"""What each component adds to the base."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography.x509 import DNSName

from exporter import catalog
from exporter.web.web_files import load_web_files
from tests.support.certificates import Authority
from tests.support.kustomize import KUBERNETES, compose, of_kind, pod_templates, render_overlay

SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"
"""Of Debian, and so of the base image."""


def _ca_files(file: Path) -> list[str]:
    """Return the sslrootcert of each connection string that checks the server's certificate."""
    urls = re.findall(r"\S*sslmode=verify-full\S*", file.read_text())
    return [url.partition("&sslrootcert=")[2].rstrip(".`") for url in urls]


@pytest.mark.parametrize("overlay", ["minimal", "operator"])
def test_certificate_of_the_database_is_checked_with_the_authorities_of_the_image(
    overlay: str,
) -> None:
    for file in (KUBERNETES / "base/secret.example.yaml", KUBERNETES.parent / "README.md"):
        assert _ca_files(file) == [SYSTEM_CA], file
    # Nothing is mounted over them.
    for _, template in pod_templates(render_overlay(overlay)):
        (container,) = template["spec"]["containers"]
        mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert not [path for path in mounted if Path(SYSTEM_CA).is_relative_to(path)]


def test_supabase_checks_the_certificate_with_the_file_that_is_mounted() -> None:
    (used,) = _ca_files(KUBERNETES / "overlays/supabase/secret.example.yaml")
    assert _ca_files(KUBERNETES / "components/database-ca/kustomization.yaml") == [used]
    for _, template in pod_templates(render_overlay("supabase")):
        (container,) = template["spec"]["containers"]
        (ca,) = (m["mountPath"] for m in container["volumeMounts"] if m["name"] == "ca")
        assert used == f"{ca}/ca.crt"


@pytest.mark.parametrize("inconclusive", ["0", "3"])
@pytest.mark.parametrize("code", range(5))
def test_verify_job_fails_at_once_on_no_go_and_on_inconclusive_as_configured(
    code: int, inconclusive: str, tmp_path: Path
) -> None:
    (job,) = of_kind(compose(tmp_path, ["verify"]), "CronJob")
    spec = job["spec"]["jobTemplate"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert {each["name"]: each["value"] for each in container["env"]} == {"INCONCLUSIVE": "0"}
    (fake := tmp_path / "loom-exporter").write_text(
        f'#!/bin/sh\n[ "$*" = verify ] && exit {code}\n'
    )
    fake.chmod(0o755)
    done = subprocess.run(
        [*container["command"], *container["args"]],
        env={"PATH": f"{tmp_path}:{os.defpath}", "INCONCLUSIVE": inconclusive},
        check=False,
    )
    assert done.returncode == (int(inconclusive) if code == 3 else code)
    fail_at_once = spec["podFailurePolicy"]["rules"][0]
    assert fail_at_once["action"] == "FailJob"
    assert fail_at_once["onExitCodes"]["containerName"] == container["name"]
    # 4, unreachable, is tried again: for longer than a capture holds a connection of the role.
    assert fail_at_once["onExitCodes"]["values"] == [1, 2, 3]
    tried_seconds = sum(10 * 2**each for each in range(spec["backoffLimit"]))
    assert 10 * 60 < tried_seconds < spec["activeDeadlineSeconds"]
    # What failed is an alarm for as long as it exists; the next one starts after a day.
    assert 0 < spec["ttlSecondsAfterFinished"] < 86400
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_baseline_is_captured_only_when_somebody_asks_for_it(tmp_path: Path) -> None:
    (job,) = of_kind(compose(tmp_path, ["baseline"]), "CronJob")
    assert job["spec"]["suspend"] is True
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["baseline", "capture", "--for", "10m"]


def test_rules_of_loom_are_left_out_with_queries_of_your_own(tmp_path: Path) -> None:
    (folder := tmp_path / "overlay").mkdir()
    (rules,) = of_kind(compose(folder, ["prometheus-rule", "own-queries"]), "PrometheusRule")
    assert rules["metadata"]["name"] == "loom-exporter"


def test_own_queries_are_read_as_a_configmap_lays_them(tmp_path: Path) -> None:
    (folder := tmp_path / "overlay").mkdir()
    files = next(
        each["data"]
        for each in of_kind(compose(folder, ["own-queries"]), "ConfigMap")
        # A name with the hash of the content would be a new pod for each change.
        if each["metadata"]["name"] == "loom-exporter-queries"
    )
    written = {path.name for path in (KUBERNETES / "components/own-queries/queries").iterdir()}
    assert set(files) == written
    # The kubelet writes into a folder with a date, and links to it twice.
    (dated := tmp_path / "queries" / "..2026_01_01").mkdir(parents=True)
    (tmp_path / "queries" / "..data").symlink_to(dated.name)
    for name, text in files.items():
        (dated / name).write_text(text)
        (tmp_path / "queries" / name).symlink_to(f"..data/{name}")
    loaded = catalog.load_catalog(tmp_path / "queries")
    assert {"orders_stuck", "migrations", "tables"} <= {query.name for query in loaded.queries}
    assert not loaded.unseen


def test_web_config_that_is_shown_can_be_used_as_its_secret_is_mounted(tmp_path: Path) -> None:
    example = (KUBERNETES / "components/web-config/secret.example.yaml").read_text()
    files = yaml.safe_load(example)["stringData"]
    authority = Authority()
    certificate = authority.issue(DNSName("loom-exporter"))
    files |= {"ca.crt": authority.pem, "tls.crt": certificate.certificate.decode()}
    files["tls.key"] = certificate.key.decode()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert load_web_files(tmp_path / "web.yml").tls


def test_no_probe_depends_on_whether_the_endpoint_speaks_tls(tmp_path: Path) -> None:
    (deployment,) = of_kind(compose(tmp_path, ["web-config"]), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probes = {key: value for key, value in container.items() if key.endswith("Probe")}
    assert probes.keys() == {"startupProbe", "livenessProbe"}
    for probe in probes.values():
        assert probe["exec"] == {"command": ["loom-exporter", "healthcheck"]}
        assert "httpGet" not in probe
        # Python starts within this, where a second of the default may be too little.
        assert probe["timeoutSeconds"] == 5

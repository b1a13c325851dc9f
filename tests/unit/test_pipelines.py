"""The examples of deploy/pipelines: accepted by what reads them, and fitting what they ask."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import exporter
from exporter.database.grants import ROLE
from exporter.verdict.assess import Verdict
from tests.support.helm import render
from tests.support.kustomize import ROOT, of_kind
from tests.support.shipped_queries import DEPLOYMENT

PIPELINES = ROOT / "deploy" / "pipelines"


@pytest.mark.parametrize(
    ("file", "schema"),
    [
        ("github-actions.yaml", "vendor.github-workflows"),
        ("gitlab-ci.yaml", "vendor.gitlab-ci"),
        ("pgtap.yaml", "vendor.github-workflows"),
    ],
)
def test_pipeline_is_valid(file: str, schema: str) -> None:
    command = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run(
        [command, "--builtin-schema", schema, PIPELINES / file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", ["github-actions.yaml", "gitlab-ci.yaml"])
def test_pipeline_runs_the_image_of_this_version(file: str) -> None:
    text = (PIPELINES / file).read_text(encoding="utf-8")
    assert f"registry.example.org/loom-exporter:{exporter.__version__}\n" in text


def test_migrations_run_between_ready_and_verify() -> None:
    github = yaml.safe_load((PIPELINES / "github-actions.yaml").read_text(encoding="utf-8"))
    steps = [each.get("run", "") for each in github["jobs"]["deploy"]["steps"]]
    order = [
        next(number for number, run in enumerate(steps) if command in run)
        for command in (" ready --url", "supabase db push", " verify --url")
    ]
    assert order == sorted(order)
    # No machine of GitHub's has that program.
    assert "supabase/setup-cli@v1" in [s.get("uses") for s in github["jobs"]["deploy"]["steps"]]
    gitlab = yaml.safe_load((PIPELINES / "gitlab-ci.yaml").read_text(encoding="utf-8"))
    stages = [gitlab[job]["stage"] for job in ("ready", "migrate", "verify")]
    assert stages == gitlab["stages"]
    # Only "it cannot be told yet" is no failure.
    assert gitlab["verify"]["allow_failure"] == {"exit_codes": 3}


def test_suites_that_a_pipeline_records_are_those_of_the_pack() -> None:
    pipeline = (PIPELINES / "pgtap.yaml").read_text(encoding="utf-8")
    suites = re.findall(r"\$RECORD (\w+)", pipeline)
    assert suites == ["rls", "security_regression"]
    assert set(suites) <= set(DEPLOYMENT.suites)


def test_rollout_stops_at_no_go_and_at_no_other_verdict() -> None:
    template = yaml.safe_load((PIPELINES / "argo-rollouts.yaml").read_text(encoding="utf-8"))
    (metric,) = template["spec"]["metrics"]
    assert metric["provider"]["web"]["url"].endswith("/api/v1/verdict")
    assert metric["provider"]["web"]["jsonPath"] == "{$.verdict}"
    # These conditions are Python as well as they are Argo's.
    for verdict in Verdict:
        known = {"result": verdict.value}
        stops = eval(metric["failureCondition"], {}, known)
        goes_on = eval(metric["successCondition"], {}, known)
        assert (stops, goes_on) == (verdict is Verdict.NO_GO, verdict is not Verdict.NO_GO)


@pytest.mark.parametrize("name", ["cloudnativepg", "supabase"])
def test_values_are_rendered_with_the_authority_that_the_connection_string_names(name: str) -> None:
    text = (PIPELINES / f"values-{name}.yaml").read_text(encoding="utf-8")
    (deployment,) = of_kind(render(yaml.safe_load(text)), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (folder,) = (m["mountPath"] for m in container["volumeMounts"] if m["name"] == "ca")
    assert f"sslmode=verify-full&sslrootcert={folder}/ca.crt" in text
    assert f"postgresql://{ROLE}" in text


def test_cluster_has_the_role_and_counts_statements() -> None:
    cluster = yaml.safe_load((PIPELINES / "cloudnativepg.yaml").read_text(encoding="utf-8"))
    (role,) = cluster["spec"]["managed"]["roles"]
    assert role["name"] == ROLE
    values = yaml.safe_load((PIPELINES / "values-cloudnativepg.yaml").read_text(encoding="utf-8"))
    (password,) = values["extraEnv"]
    secret = password["valueFrom"]["secretKeyRef"]["name"]
    assert secret == role["passwordSecret"]["name"]
    assert "pg_stat_statements.track" in cluster["spec"]["postgresql"]["parameters"]

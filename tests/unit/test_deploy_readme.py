"""The commands that deploy/README.md tells people to type."""

from __future__ import annotations

import re
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import exporter
from exporter.state import StateStore
from tests.support.commands import run
from tests.support.helm import CHART, helm
from tests.support.kustomize import KUBERNETES, of_kind, pod_templates, render_overlay

ROOT = Path(__file__).parents[2]
README = (ROOT / "deploy" / "README.md").read_text()
NAMED = {
    "minimal": "A plain cluster",
    "operator": "With the Prometheus operator",
    "supabase": "Supabase",
}


def _commands(heading: str) -> list[str]:
    """Return the commands of the first block under a heading."""
    block = re.search(rf"^##+ {heading}\n.*?^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert block, heading
    return block[1].replace("\\\n", "").splitlines()


def test_image_that_is_run_and_pushed_is_the_one_that_is_built() -> None:
    image = f"loom-exporter:{exporter.__version__}"
    assert set(re.findall(r"docker build --tag (\S+)", README)) == {image}
    assert set(re.findall(r"docker run --rm (\S+) ", README)) == {image}
    assert re.findall(r"^    --env \S+ (\S+)$", README, re.MULTILINE) == [image]
    (tagged,) = re.findall(rf"docker tag {re.escape(image)} (\S+)", README)
    assert re.findall(r"docker push (\S+)", README) == [tagged]
    assert re.findall(r"kustomize edit set image loom-exporter=([^\s)]+)", README) == [tagged]


@pytest.mark.parametrize("overlay", NAMED)
def test_all_that_the_five_commands_need_is_made_before(overlay: str) -> None:
    before = README[: README.index(f"# {NAMED[overlay]}\n")]
    assert "docker push" in before
    assert "cat > url)" in before


@pytest.mark.parametrize("overlay", NAMED)
def test_five_commands_bring_all_that_the_pods_wait_for(overlay: str) -> None:
    commands = _commands(NAMED[overlay])
    assert len(commands) == 5
    assert f"kubectl apply -k deploy/kubernetes/overlays/{overlay}" in commands
    objects = render_overlay(overlay)
    (namespace,) = (each["metadata"]["name"] for each in of_kind(objects, "Namespace"))
    wanted = {
        volume["secret"]["secretName"]
        for _, template in pod_templates(objects)
        for volume in template["spec"]["volumes"]
        if "secret" in volume
    }
    created = {
        match[1]
        for command in commands
        if (match := re.search(r"create secret generic (\S+) --from-file=(url|ca\.crt)$", command))
    }
    assert created == wanted
    (deployment,) = of_kind(objects, "Deployment")
    assert commands[-1].endswith(f"rollout status deployment/{deployment['metadata']['name']}")
    for command in commands:
        if command.startswith("kubectl") and "apply" not in command:
            assert f"--namespace {namespace} " in command


def test_jobs_are_made_from_cronjobs_that_exist() -> None:
    names = {each["metadata"]["name"] for each in of_kind(render_overlay("supabase"), "CronJob")}
    assert set(re.findall(r"--from=cronjob/(\S+)", README)) == names


def test_every_file_and_component_that_is_named_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / "deploy" / target).exists(), target
    for component in (KUBERNETES / "components").iterdir():
        assert re.search(rf"`(components/)?{component.name}`", README), component.name


def test_compose_services_that_are_named_exist() -> None:
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    assert set(re.findall(r"docker compose run --rm (\w+)", README)) == {"deploy"} <= set(services)
    ports = {port for service in services.values() for port in service.get("ports", [])}
    for port in ("10187", "9090", "9093", "3000"):
        assert f"127.0.0.1:{port}:{port}" in ports
        assert f":{port}" in README


def test_five_commands_of_helm_bring_a_release_that_is_scraped() -> None:
    (helm_part,) = re.findall(r"^## Helm\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```\n(.*?)^```", helm_part, re.MULTILINE | re.DOTALL)
    (commands,) = (b.replace("\\\n", "").splitlines() for b in blocks if "helm install" in b)
    assert len(commands) == 5
    pushed = re.search(r"docker push (\S+)", README)
    secret = re.search(r"create secret generic (\S+) --from-file=url", commands[3])
    install = shlex.split(commands[4].replace("deploy/helm/loom-exporter", str(CHART)))
    assert pushed
    assert secret
    code, said = helm("template", *[word for word in install[2:] if word != "--wait"])
    assert code == 0, said
    objects = [each for each in yaml.safe_load_all(said) if each]
    (deployment,) = of_kind(objects, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == pushed[1]
    assert secret[1] in [v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v]
    (service,) = of_kind(objects, "Service")
    assert service["metadata"]["annotations"]["prometheus.io/scrape"] == "true"


def test_every_command_of_the_exporter_exists() -> None:
    named = set(re.findall(r"(?:-- |`)loom-exporter ((?:[a-z][a-z-]*(?: (?=[a-z]))?)+)", README))
    assert {"healthcheck", "rules", "dashboards", "deploy mark", "baseline export"} <= named
    for each in named:
        assert run(*each.split(), "--help").exit_code == 0, each


def test_copy_of_the_state_is_whole(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "state.sqlite3", owner=True)
    assert store.problem is None
    (code,) = re.findall(r"<<'PYTHON'\n(.*?)^PYTHON", README, re.MULTILINE | re.DOTALL)
    code = code.replace("/var/lib/loom-exporter", str(tmp_path))
    done = subprocess.run([sys.executable, "-"], input=code.encode(), capture_output=True)
    assert done.returncode == 0, done.stderr
    (copy := tmp_path / "copy.sqlite3").write_bytes(done.stdout)
    with sqlite3.connect(copy) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        assert tables.fetchall()
    store.close()

"""The commands that deploy/README.md tells people to type."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import exporter
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
    block = re.search(rf"^### {heading}\n.*?^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
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
    before = README[: README.index(f"### {NAMED[overlay]}\n")]
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

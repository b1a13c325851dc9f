"""What kustomize and Helm render: valid, safe, and fitting together."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
import yaml

import exporter
from exporter.settings import load_settings
from tests.support import helm
from tests.support.kustomize import (
    KUBERNETES,
    assert_published,
    assert_valid,
    compose,
    of_kind,
    pod_templates,
    render_overlay,
    selects,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.kustomize import Manifest

OVERLAYS = ("minimal", "operator", "supabase")
ALL_COMPONENTS = (
    "namespace",
    "service-monitor",
    "verify",
    "baseline",
    "database-ca",
    "own-queries",
    "probes",
    "web-config",
)
PUBLISHED = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "HTTPRoute"}
CUSTOM = {*PUBLISHED, "VMServiceScrape"}
SECRETS = {
    "loom-exporter-database": {"url"},
    "loom-exporter-ca": {"ca.crt"},
    "loom-exporter-probes": {"url"},
    "loom-exporter-web": {"web.yml", "tls.crt", "tls.key", "ca.crt"},
}
"""What an operator brings: names and keys."""

PROBES = ("startup", "liveness", "readiness")

APPLY_LIMIT_BYTES = 256 * 1024
"""kubectl keeps what it applied in an annotation, and no object may have more of those."""

RESTRICTED_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"),
    *("persistentVolumeClaim", "projected", "secret"),
}


@pytest.fixture(params=[*OVERLAYS, "everything", "chart", "chart with everything"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> list[Manifest]:
    """Return the objects of each overlay in turn, of all components that need no other file, and of
    the chart, with nothing and with everything enabled."""
    match request.param:
        case "everything":
            return compose(tmp_path, ALL_COMPONENTS)
        case "chart":
            return helm.render(helm.SECRET)
        case "chart with everything":
            return helm.render(helm.EVERYTHING)
    return render_overlay(request.param)


def test_every_object_is_valid(objects: list[Manifest], tmp_path: Path) -> None:
    assert_valid([each for each in objects if each["kind"] not in CUSTOM], tmp_path)


def test_resources_of_other_projects_have_the_fields_that_those_publish(
    objects: list[Manifest],
) -> None:
    assert_published(each for each in objects if each["kind"] in PUBLISHED)


def test_pods_meet_the_restricted_standard(objects: list[Manifest]) -> None:
    templates = dict(pod_templates(objects))
    assert "loom-exporter" in templates
    for template in templates.values():
        pod = template["spec"]
        assert not {key for key in pod if key.startswith("host")}
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 65532
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for volume in pod["volumes"]:
            assert set(volume) - {"name"} <= RESTRICTED_VOLUMES
        assert "initContainers" not in pod
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert not security.get("privileged")
            assert not [port for port in container.get("ports", []) if "hostPort" in port]


def test_pods_are_safe_beyond_the_standard(objects: list[Manifest]) -> None:
    for name, template in pod_templates(objects):
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        (container,) = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        writable = {m["name"] for m in container["volumeMounts"] if not m.get("readOnly")}
        assert writable == (set() if name == "loom-exporter-verify" else {"state"})
        # A file mounted by itself is not replaced when the Secret is.
        assert not [mount for mount in container["volumeMounts"] if "subPath" in mount]
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        # Throttling makes queries run late, and they would be taken for missed.
        assert set(container["resources"]["limits"]) == {"memory"}


def test_settings_are_known_to_the_exporter(
    objects: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    (settings,) = (
        each["data"]
        for each in of_kind(objects, "ConfigMap")
        if each["metadata"]["name"].startswith("loom-exporter-settings")
    )
    for name in list(os.environ):
        if name.startswith("LOOM_EXPORTER_"):
            monkeypatch.delenv(name)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    loaded = load_settings()
    for name, template in pod_templates(objects):
        (container,) = template["spec"]["containers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert mounts[str(loaded.state_dir)] == "state"
        assert loaded.database_url_file
        assert mounts[str(loaded.database_url_file.parent)] == "database"
        if "queries" in loaded.model_fields_set:
            assert mounts[str(loaded.queries)] == "queries"
        if loaded.web_config_file and name == "loom-exporter":
            assert mounts[str(loaded.web_config_file.parent)] == "web"
        for port in container.get("ports", []):
            assert loaded.listen == f":{port['containerPort']}"


def test_whatever_is_named_is_there(objects: list[Manifest]) -> None:
    there = {(each["kind"], each["metadata"]["name"]) for each in objects}
    for _, template in pod_templates(objects):
        pod = template["spec"]
        assert ("ServiceAccount", pod["serviceAccountName"]) in there
        (container,) = pod["containers"]
        for source in container["envFrom"]:
            assert ("ConfigMap", source["configMapRef"]["name"]) in there
        for volume in pod["volumes"]:
            if "secret" in volume:
                assert volume["secret"]["secretName"] in SECRETS
                assert volume["secret"]["defaultMode"] == 0o440
            elif "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in there
            else:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", claim) in there
        assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}


def test_service_has_the_exporter_behind_it_and_nothing_else(objects: list[Manifest]) -> None:
    (service,) = of_kind(objects, "Service")
    templates = dict(pod_templates(objects))
    behind = {
        name for name, each in templates.items() if selects(service["spec"]["selector"], each)
    }
    assert behind == {"loom-exporter"}
    (deployment,) = of_kind(objects, "Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    assert service["spec"]["ports"][0]["port"] == port["containerPort"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_ask_what_does_not_ask_the_database(overlay: str) -> None:
    (deployment,) = of_kind(render_overlay(overlay), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    asked = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in PROBES}
    assert asked == {"startup": "/-/healthy", "liveness": "/-/healthy", "readiness": "/-/ready"}


def test_jobs_run_beside_the_exporter_whose_volume_they_need(objects: list[Manifest]) -> None:
    templates = dict(pod_templates(objects))
    for name in templates.keys() - {"loom-exporter"}:
        affinity = templates[name]["spec"]["affinity"]["podAffinity"]
        (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
        near = term["labelSelector"]["matchLabels"]
        assert {n for n, each in templates.items() if selects(near, each)} == {"loom-exporter"}
        assert term["topologyKey"] == "kubernetes.io/hostname"


def test_network_policy_lets_prometheus_in_and_names_and_the_database_out(
    objects: list[Manifest],
) -> None:
    policies = of_kind(objects, "NetworkPolicy")
    if not policies:
        return  # of the chart, which has it only if it is enabled
    (policy,) = policies
    for _, template in pod_templates(objects):
        assert selects(policy["spec"]["podSelector"]["matchLabels"], template)
    assert sorted(policy["spec"]["policyTypes"]) == ["Egress", "Ingress"]
    (incoming,) = policy["spec"]["ingress"]
    peer, *own = incoming["from"]
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}
    assert own in ([], [{"podSelector": policy["spec"]["podSelector"]}])
    assert incoming["ports"][0]["port"] in (10187, "http")
    outgoing = {
        (port["port"], port["protocol"])
        for rule in policy["spec"]["egress"]
        for port in rule["ports"]
        if not (own and "to" in rule)
    }
    assert outgoing == {(53, "UDP"), (53, "TCP"), (5432, "TCP"), (6543, "TCP")}


def test_no_secret_is_applied_and_examples_have_none(objects: list[Manifest]) -> None:
    assert of_kind(objects, "Secret") == []
    examples = [
        each
        for file in KUBERNETES.rglob("secret.example.yaml")
        for each in yaml.safe_load_all(file.read_text())
    ]
    assert {each["metadata"]["name"] for each in examples} == set(SECRETS)
    for example in examples:
        assert set(example["stringData"]) == SECRETS[example["metadata"]["name"]]
        for key, value in example["stringData"].items():
            # A user's hash in web.yml would be a secret as well.
            harmless = ":PASSWORD@" in value or value in ("CERTIFICATE", "KEY")
            assert harmless or (key == "web.yml" and "basic_auth_users" not in value)


def test_objects_fit_into_what_kubectl_can_apply(objects: list[Manifest]) -> None:
    for each in objects:
        assert len(json.dumps(each)) < APPLY_LIMIT_BYTES, each["metadata"]["name"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_runs_in_a_namespace_that_enforces_the_standard(overlay: str) -> None:
    objects = render_overlay(overlay)
    (namespace,) = of_kind(objects, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    places = {each["metadata"]["namespace"] for each in objects if each is not namespace}
    assert places == {namespace["metadata"]["name"]}
    for _, template in pod_templates(objects):
        # A tag of one's own version, so that a node never runs whatever `latest` once was.
        image = template["spec"]["containers"][0]["image"]
        assert image == f"loom-exporter:{exporter.__version__}"
        assert template["metadata"]["labels"]["app.kubernetes.io/version"] == exporter.__version__

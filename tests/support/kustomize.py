"""Kubernetes manifests as kubectl would apply them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"

OLDEST, NEWEST = "1.31.0", "1.37.0"
"""Of Kubernetes. Before 1.31 a Job's podFailurePolicy was no settled thing."""

Manifest = dict[str, Any]


def render(folder: Path) -> list[Manifest]:
    """Return the objects of a folder; without kubectl and kustomize, skip the test."""
    # A kustomize that is named comes first: kubectl may be too old to know components.
    if "LOOM_TEST_KUSTOMIZE" not in os.environ and shutil.which("kubectl"):
        command = ["kubectl", "kustomize", str(folder)]
    else:
        command = [str(require_tool("kustomize", "LOOM_TEST_KUSTOMIZE")), "build", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def render_overlay(name: str) -> list[Manifest]:
    """Return the objects of one of our overlays."""
    return render(KUBERNETES / "overlays" / name)


def compose(folder: Path, components: Sequence[str], root: Path = KUBERNETES) -> list[Manifest]:
    """Return the objects of the base with these components, put together in `folder`."""
    up = Path(*[".."] * (len(folder.resolve().parts) - 1)) / root.resolve().relative_to("/")
    overlay = {
        "resources": [str(up / "base")],
        "components": [str(up / "components" / name) for name in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return render(folder)


def assert_valid(objects: Sequence[Manifest], folder: Path) -> None:
    """Fail if the oldest or the newest Kubernetes does not know a field; write into `folder`."""
    (file := folder / "objects.yaml").write_text(yaml.safe_dump_all(objects))
    command = Path(sys.executable).parent / "kubernetes-validate"
    for version in (OLDEST, NEWEST):
        done = subprocess.run(
            [command, "--strict", "--kubernetes-version", version, str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        # What it does not know, it only warns of.
        assert said.count(" passed for resource ") == len(objects), said


def assert_published(objects: Iterable[Manifest]) -> None:
    """Fail if an object of another project has a field that the project's own types do not have."""
    tool = require_tool("custom_resources", "LOOM_TEST_CUSTOM_RESOURCES")
    lines = "".join(f"{json.dumps(each)}\n" for each in objects)
    done = subprocess.run([tool], input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def of_kind(objects: Sequence[Manifest], kind: str) -> list[Manifest]:
    """Return the objects of a kind."""
    return [each for each in objects if each["kind"] == kind]


def pod_templates(objects: Sequence[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield the name and the pod template of each object that makes pods."""
    for each in objects:
        spec = each.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            yield each["metadata"]["name"], template


def selects(labels: Manifest, template: Manifest) -> bool:
    """Return whether a selector's labels are among those of a pod."""
    return bool(labels.items() <= template["metadata"]["labels"].items())

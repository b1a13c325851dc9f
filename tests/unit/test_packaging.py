"""What people install is whole, and is what was pinned."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import exporter

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source archive, and from that alone the wheel."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_wheel_carries_queries_rules_dashboards_demo_and_types(built: Path) -> None:
    (wheel,) = built.glob(f"loom_exporter-{exporter.__version__}-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    queries = {path.relative_to(ROOT) for path in (ROOT / "queries").rglob("*.*")}
    demo = {path.relative_to(ROOT) for path in (ROOT / "exporter" / "demo").rglob("*.sql")}
    assert demo
    assert {f"exporter/{path}" for path in queries} | {str(path) for path in demo} <= names
    for folder in (
        "alerts/rule-templates/**/*.j2",
        "alerts/runbooks/*",
        "grafana/dashboards/**/*.json",
    ):
        shipped = {f"exporter/{path.relative_to(ROOT)}" for path in ROOT.glob(folder)}
        assert shipped
        assert shipped <= names
    assert {"exporter/py.typed", "exporter/cli.py"} <= names
    templates = {path.relative_to(ROOT) for path in (ROOT / "exporter").glob("*/templates/*")}
    assert {path.suffix for path in templates} == {
        ".css",
        ".html",
        ".js",
        ".md",
        ".sql",
        ".txt",
        ".yaml",
    }
    assert {str(path) for path in templates} <= names
    assert not {name for name in names if not name.startswith(("exporter/", "loom_exporter-"))}


def test_source_archive_can_be_tested(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as members:
        tops = {name.split("/")[1] for name in members.getnames()}
    assert {"Makefile", "LICENSE", "docs", "exporter", "queries", "requirements", "tests"} <= tops


@pytest.mark.parametrize("name", ["build", "run", "demo", "dev"])
def test_requirements_pin_every_package_by_hash_and_name_no_address(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert not re.search(r"://|^-|--(index|extra|find|trusted)", text, re.MULTILINE)
    blocks = re.findall(r"^[a-z].*(?:\n {4}--.*)*", text, re.MULTILINE)
    assert blocks
    for block in blocks:
        assert re.match(r"[a-z0-9-]+==\S+ \\\n {4}--hash=sha256:[0-9a-f]{64}", block)


@pytest.mark.parametrize("name", ["build", "run", "demo", "dev"])
def test_requirements_are_what_the_project_asks_for(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [] if name == "build" else list(project["project"]["dependencies"])
    if name != "run":
        wanted += project["build-system"]["requires"]
    if name in ("demo", "dev"):
        wanted += project["project"]["optional-dependencies"]["demo"]
    if name == "dev":
        wanted += project["dependency-groups"]["dev"]
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    for requirement in map(Requirement, wanted):
        pinned = pins.get(canonicalize_name(requirement.name))
        assert pinned is not None, f"{requirement} is not pinned: make requirements"
        assert requirement.specifier.contains(pinned), f"{requirement} is pinned at {pinned}"

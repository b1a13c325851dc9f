"""The Dockerfile as it is written; what comes out of it is tested in e2e/test_image.py."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import exporter
from tests.support.dockerfile import read_dockerfile

ROOT = Path(__file__).parents[2]
DOCKERFILE = read_dockerfile(ROOT / "Dockerfile")
FINAL = DOCKERFILE.stages[-1]


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [hadolint, "--failure-threshold=style", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_stage_stands_on_one_base_which_can_be_pinned() -> None:
    assert {stage.base for stage in DOCKERFILE.stages} == {DOCKERFILE.arguments["PYTHON"]}
    # A tag with a version, from whatever registry the builder is set up for.
    assert re.fullmatch(r"python:3\.\d+-slim", DOCKERFILE.arguments["PYTHON"])


def test_what_runs_is_a_number_without_a_shell() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", FINAL.only("USER").text)
    assert FINAL.only("ENTRYPOINT").is_exec_form
    assert FINAL.only("CMD").is_exec_form
    assert FINAL.only("HEALTHCHECK").text == 'CMD ["loom-exporter", "healthcheck"]'
    assert FINAL.only("STOPSIGNAL").text == "SIGTERM"
    # No step of the last stage runs anything, so it is nothing but base, files and settings.
    assert [step for step in FINAL.steps if step.instruction == "RUN"] == []


def test_everything_that_is_installed_has_its_hash_checked() -> None:
    installs = [
        command
        for stage in DOCKERFILE.stages
        for step in stage.steps
        if step.instruction == "RUN"
        for command in step.text.split("&&")
        if re.search(r"\bpip\b.* install ", command)
    ]
    assert len(installs) == 3
    for command in installs:
        # Our own wheel was built a line above.
        assert "--require-hashes --requirement" in command or "--no-deps dist/" in command
    (wheel,) = (
        command
        for stage in DOCKERFILE.stages
        for step in stage.steps
        for command in step.text.split("&&")
        if "pip wheel" in command
    )
    assert "--no-deps --no-build-isolation" in wheel


def test_version_is_that_of_the_package() -> None:
    (version,) = (s.text for s in FINAL.steps if s.text.startswith("VERSION="))
    assert version == f"VERSION={exporter.__version__}"

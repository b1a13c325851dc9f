"""The image: the steps of the Dockerfile, run for real, and what comes out of them, run safely."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

import exporter
from exporter.database.roles import ROLE
from exporter.demo.processes import free_port
from tests.support.daemon import Page
from tests.support.dockerfile import read_dockerfile
from tests.support.image import build_image, mount_namespace
from tests.support.observers import HANG_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.image import Image
    from tests.support.loom_database import LoomDatabase

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
NOT_NEEDED = {"markdown-it-py", "mdurl", "pygments", "rich"}
"""Requirements of Typer for coloured help."""

URL_FILE = "/etc/loom-exporter/database/url"


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Build the image; its root is read-only, but for its volume and where a secret is put."""
    with tempfile.TemporaryDirectory(prefix="loom-image-") as folder:
        (context := Path(folder, "context")).mkdir()
        (layers := Path(folder, "layers")).mkdir()
        _fill_context(context)
        with mount_namespace(layers) as mounts:
            built = build_image(mounts, DOCKERFILE, context)
            secrets = built.seen / Path(URL_FILE).parent.relative_to("/")
            secrets.mkdir(parents=True)
            mounts.run("mount", "-t", "tmpfs", "tmpfs", f"{built.root}{Path(URL_FILE).parent}")
            built.freeze()
            yield built


def _fill_context(folder: Path) -> None:
    """Copy what .dockerignore lets through: it excludes all, and then names what is needed."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    for kept in (line[1:] for line in lines if line.startswith("!")):
        (folder / kept).parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["cp", "-r", ROOT / kept, folder / kept], check=False)
        assert done.returncode == 0, f".dockerignore lets {kept} through, which is not there"


@contextlib.contextmanager
def _serving(image: Image, loom: LoomDatabase) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the image as it is meant to be, with a connection string in a file for its group only."""
    port = free_port()
    url_file = image.seen / URL_FILE.lstrip("/")
    url_file.write_text(loom.dsn(ROLE))
    url_file.chmod(0o440)
    image.mounts.run("chown", f"0:{image.user.split(':')[1]}", f"{image.root}{URL_FILE}")
    variables = {
        "LOOM_EXPORTER_DATABASE_URL_FILE": URL_FILE,
        "LOOM_EXPORTER_LISTEN": f"127.0.0.1:{port}",
    }
    command = image.command([*image.entrypoint, *image.arguments], variables)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, port
        except AssertionError as error:
            process.kill()
            error.add_note(process.communicate()[1])
            raise
        finally:
            process.kill()


def _get(port: int, path: str) -> str:
    """Return what a path answers with, or nothing while it does not say 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANG_SECONDS)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.request("GET", path)
        response = connection.getresponse()
        return response.read().decode() if response.status == 200 else ""
    return ""


def _page_with(port: int, metric: str) -> Page | None:
    """Return /metrics if it has this metric, which a query that was held up gives later."""
    page = Page(_get(port, "/metrics"))
    return page if page.series(metric) else None


def test_image_serves_metrics_as_its_user_on_a_read_only_root(
    image: Image, monitored: LoomDatabase
) -> None:
    with _serving(image, monitored) as (process, port):
        eventually("every query was tried", lambda: _get(port, "/-/ready"))
        page = eventually("users are counted", lambda: _page_with(port, "loom_users"))
        assert page
        assert page.value("loom_users") == 200
        assert page.value("loom_database_up") == 1
        assert page.value("loom_exporter_state_persistent") == 1
        running = psutil.Process(process.pid)
        assert running.uids() == (65532, 65532, 65532)
        assert running.gids() == (65532, 65532, 65532)
        # Without a shell in between, signals reach it, and it reaps nothing.
        assert running.children() == []
        capabilities = Path(f"/proc/{process.pid}/status").read_text()
        assert re.search(r"^CapEff:\t0+$", capabilities, re.MULTILINE)
        health = image.command(image.health, {"LOOM_EXPORTER_LISTEN": f"127.0.0.1:{port}"})
        eventually("it is healthy", lambda: subprocess.run(health, check=False).returncode == 0)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == 0, log
        assert subprocess.run(health, capture_output=True, check=False).returncode == 1
    assert '"event": "stopped"' in log


def test_nothing_in_the_image_can_be_written_but_its_volume(image: Image) -> None:
    for place, writable in (("/tmp", False), ("/opt", False), ("/var/lib/loom-exporter", True)):
        touch = image.command(["touch", f"{place}/new"], {})
        done = subprocess.run(touch, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is writable, done.stderr


def test_image_can_run_any_command_without_settings(image: Image) -> None:
    for arguments, code, said in (
        (["--version"], 0, exporter.__version__),
        (["grants"], 0, "CREATE ROLE"),
        (["rules"], 0, "LoomWatchdog"),
        (["verify", "--help"], 0, "Usage: "),
        (["verfy"], 2, "No such command 'verfy'"),
    ):
        command = image.command([*image.entrypoint, *arguments], {})
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert said in done.stdout + done.stderr


def test_image_brings_runbooks_and_dashboards(image: Image) -> None:
    for command, name in (("runbooks", "LoomWatchdog.md"), ("dashboards", "loom-exporter.json")):
        folder = "/var/lib/loom-exporter"
        arguments = image.command([*image.entrypoint, command, folder], {})
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert f"{folder}/{name}" in done.stdout.splitlines(), done.stderr


def test_image_brings_what_was_pinned_and_nothing_to_install_more(image: Image) -> None:
    listing = (
        "from importlib.metadata import distributions\n"
        "from re import sub\n"
        "for each in distributions(): print(sub('[._]', '-', each.name.lower()), each.version)"
    )
    done = subprocess.run(
        image.command(["/opt/loom-exporter/bin/python", "-c", listing], {}),
        capture_output=True,
        text=True,
        check=True,
    )
    pins = re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements/run.txt").read_text(), re.M)
    installed = {tuple(line.split()) for line in done.stdout.splitlines()}
    needed = {(name, version) for name, version in pins if name not in NOT_NEEDED}
    assert installed == {*needed, ("loom-exporter", exporter.__version__)}


def test_image_says_what_it_is(image: Image) -> None:
    told = {name.rpartition(".")[2]: value for name, value in image.labels.items()}
    assert told["version"] == exporter.__version__
    assert told["licenses"] == "Apache-2.0"
    assert all(name.startswith("org.opencontainers.image.") for name in image.labels)
    assert told["name"] == read_dockerfile(DOCKERFILE).stages[-1].base

"""What a container's health check says, and what it costs each time."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, NamedTuple

import pytest

from exporter.app.healthcheck import DEFAULT_LISTEN
from exporter.settings import Settings
from tests.support.observers import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHECK = ("-m", "exporter", "healthcheck")
LEAST = ("-c", "import http.client, ssl")
"""A program that asks over HTTP and TLS has to import these."""


class Run(NamedTuple):
    """How a program ended, and what it took."""

    exit_code: int
    errors: str
    cpu_seconds: float
    memory_bytes: int


@pytest.fixture(params=[200, 503])
def answering(request: pytest.FixtureRequest) -> Iterator[tuple[int, str]]:
    """Return the status that a server answers every request with, and its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param)
            self.end_headers()
            self.wfile.write(b"the store of snapshots is dead\n")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield request.param, f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _run(*arguments: str, **variables: str) -> Run:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LOOM_EXPORTER_")}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env={**environment, **variables},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    with process.stderr:
        errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    return Run(process.returncode, errors, cpu, usage.ru_maxrss * 1024)


def _check(**variables: str) -> Run:
    """Run the check; again where the server, a thread of ours, was held up for too long."""

    def answered() -> Run | None:
        run = _run(*CHECK, **variables)
        return None if "timed out" in run.errors else run

    answer = eventually("the check is answered in time", answered)
    assert answer
    return answer


def _imports(*arguments: str, **variables: str) -> set[str]:
    lines = _run("-X", "importtime", *arguments, **variables).errors.splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def test_check_says_whether_the_daemon_answers(answering: tuple[int, str]) -> None:
    status, address = answering
    run = _check(LOOM_EXPORTER_LISTEN=address)
    if status == 200:
        assert (run.exit_code, run.errors) == (0, "")
    else:
        reason = f"loom-exporter: healthcheck: {address}: the store of snapshots is dead\n"
        assert (run.exit_code, run.errors) == (1, reason)


def test_check_imports_the_clients_of_http_and_tls_and_nothing_else() -> None:
    imported = _imports(*CHECK, LOOM_EXPORTER_LISTEN="127.0.0.1:1")
    assert "exporter.app.healthcheck" in imported
    # To run a module by its name takes some of the library too.
    beyond = imported - _imports(*LEAST) - _imports("-m", "this") - sys.stdlib_module_names
    known = {"exporter", "exporter.app", "exporter.app.healthcheck"}
    assert {name for name in beyond if "." not in name or name.startswith("exporter.")} == known


def test_check_costs_little_more_than_its_two_imports(answering: tuple[int, str]) -> None:
    _, address = answering
    runs = [(_run(*CHECK, LOOM_EXPORTER_LISTEN=address), _run(*LEAST)) for _ in range(5)]
    checks, least = zip(*runs, strict=True)
    # The best of five, as everything else on the machine only adds to it. With all commands'
    # imports it is eight times the CPU, and four times the memory.
    assert min(r.cpu_seconds for r in checks) < 2 * min(r.cpu_seconds for r in least)
    assert min(r.memory_bytes for r in checks) < 1.3 * min(r.memory_bytes for r in least)


def test_address_is_the_settings_default() -> None:
    assert Settings.model_fields["listen"].default == DEFAULT_LISTEN


def test_config_file_says_where_the_daemon_listens(
    answering: tuple[int, str], tmp_path: Path
) -> None:
    status, address = answering
    (config := tmp_path / "config.yaml").write_text(f"listen: {address}\n")
    run = _check(LOOM_EXPORTER_CONFIG=str(config))
    assert run.exit_code == (0 if status == 200 else 1)


def test_malformed_address_is_explained() -> None:
    run = _run(*CHECK, LOOM_EXPORTER_LISTEN="localhost:http")
    assert run.exit_code == 2
    assert "LOOM_EXPORTER_LISTEN: must be host:port" in run.errors

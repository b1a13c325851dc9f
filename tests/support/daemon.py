"""The exporter as its users run it: a process of its own, whose output is kept."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from prometheus_client.parser import text_string_to_metric_families

from exporter.demo.processes import free_port
from tests.support.observers import HANG_SECONDS

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

COMMAND = (sys.executable, "-m", "exporter")


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment with these variables, and without ours and libpq's of the caller."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LOOM_", "PG")) and name not in ("NO_COLOR", "PYTHONUNBUFFERED")
    }
    return {**ours, **(variables or {})}


def command(
    *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of loom-exporter to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


@dataclass(frozen=True)
class Answer:
    """What the web server said."""

    status: int
    body: str


class Page:
    """The samples of one scrape of /metrics."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._known: dict[str, list[tuple[dict[str, str], float]]] = {}

    def series(self, name: str, **labels: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Return the samples of `name` that have these labels, by all labels but `database`."""
        return {
            tuple(item for item in sample_labels.items() if item[0] != "database"): value
            for sample_labels, value in self._samples(name)
            if labels.items() <= sample_labels.items()
        }

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of one sample, or None if it is not there."""
        series = self.series(name, **labels)
        assert len(series) < 2, f"{name}{labels} is not one sample but {list(series)}"
        return next(iter(series.values()), None)

    def total(self, name: str, **labels: str) -> float | None:
        """Return the sum of the samples of `name` that have these labels; None if there is none."""
        series = self.series(name, **labels)
        return sum(series.values()) if series else None

    @cached_property
    def states(self) -> dict[str, str]:
        """The state of each query that has one."""
        shown = self.series("loom_exporter_query_state")
        return {dict(labels)["query"]: dict(labels)["state"] for labels in shown if shown[labels]}

    def _samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        # A page has thousands of lines, which take a tenth of a second to parse.
        if name not in self._known:
            lines = (line for line in self.text.split("\n") if line.startswith(name))
            families = text_string_to_metric_families("".join(f"{line}\n" for line in lines))
            samples = (sample for family in families for sample in family.samples)
            self._known[name] = [
                (sample.labels, sample.value) for sample in samples if sample.name == name
            ]
        return self._known[name]


class Daemon:
    """`loom-exporter serve` on a free port of 127.0.0.1, with its files in a folder of its own.

    Args:
        url: the connection string, handed over in a file; None if `env` says where it is.
        arguments: more of the command line.
        env: more of the environment.
        tls: what we speak to its web server with; None for plain HTTP.
        wait: whether `with` waits until the daemon serves.
    """

    def __init__(
        self,
        url: str | None,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        wait: bool = True,
    ) -> None:
        self.port = free_port()
        self.tls = tls
        self.arguments = [*COMMAND, "serve", *arguments]
        self._folder = tempfile.TemporaryDirectory(prefix="loom-daemon-")
        folder = Path(self._folder.name)
        self.url_file = folder / "url"
        variables = {
            "LOOM_EXPORTER_LISTEN": f"127.0.0.1:{self.port}",
            "LOOM_EXPORTER_STATE_DIR": str(folder / "state"),
        }
        if url is not None:
            self.url_file.write_text(url, encoding="utf-8")
            variables["LOOM_EXPORTER_DATABASE_URL_FILE"] = str(self.url_file)
        self._environment = environment({**variables, **(env or {})})
        self._outputs = {name: folder / name for name in ("stdout", "stderr")}
        self._wait = wait
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with (
            self._outputs["stdout"].open("wb") as stdout,
            self._outputs["stderr"].open("wb") as stderr,
        ):
            self._process = subprocess.Popen(
                self.arguments,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        try:
            if self._wait:
                self.wait_until_serving()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._folder.cleanup()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process, which runs since `with`."""
        assert self._process is not None
        return self._process

    @property
    def stdout(self) -> str:
        """What it has written on standard output."""
        return self._outputs["stdout"].read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        """What it has written on standard error: its log."""
        return self._outputs["stderr"].read_text(encoding="utf-8")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal and wait for the end; return the seconds that it took."""
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(HANG_SECONDS)
        return time.monotonic() - started

    def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask the web server for a path, on a new connection."""
        address = ("127.0.0.1", self.port)
        connection = (
            http.client.HTTPSConnection(*address, timeout=HANG_SECONDS, context=self.tls)
            if self.tls
            else http.client.HTTPConnection(*address, timeout=HANG_SECONDS)
        )
        try:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.read().decode())
        finally:
            connection.close()

    def page(self) -> Page:
        """Scrape /metrics."""
        answer = self.get("/metrics")
        assert answer.status == 200, answer
        return Page(answer.body)

    def wait_until_ready(self) -> None:
        """Wait until every query has been tried."""
        deadline = time.monotonic() + HANG_SECONDS
        while (answer := self.get("/-/ready")).status != 200:
            assert time.monotonic() < deadline, f"{answer.body}:\n{self.stderr}"
            time.sleep(0.05)

    def wait_until_serving(self) -> None:
        """Wait until the web server answers, whatever it says."""
        deadline = time.monotonic() + HANG_SECONDS
        while True:
            assert self.process.poll() is None, f"the daemon ended:\n{self.stderr}"
            assert time.monotonic() < deadline, f"the daemon does not serve:\n{self.stderr}"
            try:
                self.get("/-/healthy")
            except OSError:
                time.sleep(0.05)
            else:
                return

"""A real Prometheus on a free port of 127.0.0.1, with a configuration of the test's own."""

from __future__ import annotations

import json
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from exporter.demo.processes import free_port
from tests.support.observers import HANG_SECONDS, eventually
from tests.support.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Series:
    """What an expression says of one thing: the last value of a range."""

    labels: Mapping[str, str]
    value: float


class Prometheus:
    """Prometheus as a process, with its data in a folder that goes when it ends.

    Args:
        configuration: what stands in its file, without the rules.
        rules: alerts and recording rules, evaluated as one group.
    """

    def __init__(
        self, configuration: Mapping[str, Any], rules: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self._program = require_tool("prometheus", "LOOM_TEST_PROMETHEUS")
        self._configuration = configuration
        self._rules = rules
        self.url = f"http://127.0.0.1:{free_port()}"

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="loom-prometheus-")
        folder = Path(self._folder.name)
        groups = {"groups": [{"name": "test", "rules": list(self._rules)}]}
        (folder / "rules.yaml").write_text(yaml.safe_dump(groups))
        (folder / "prometheus.yaml").write_text(
            yaml.safe_dump({**self._configuration, "rule_files": ["rules.yaml"]})
        )
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(self._program),
                    f"--config.file={folder / 'prometheus.yaml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            eventually("Prometheus is ready", self._is_ready)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(HANG_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def query(self, expression: str, at: float | None = None) -> list[Series]:
        """Return what the expression says at a Unix time, or now."""
        when = {} if at is None else {"time": at}
        return [
            Series(each["metric"], float(each["value"][1]))
            for each in self._ask("query", query=expression, **when)
        ]

    def query_range(self, expression: str, start: float, end: float) -> list[Series]:
        """Return what the expression said last between two Unix times, second by second."""
        asked = self._ask("query_range", query=expression, start=start, end=end, step=1)
        return [Series(each["metric"], float(each["values"][-1][1])) for each in asked]

    def _ask(self, path: str, **parameters: object) -> list[dict[str, Any]]:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=HANG_SECONDS) as response:
                result: list[dict[str, Any]] = json.load(response)["data"]["result"]
                return result
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, (Path(self._folder.name) / "log").read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=HANG_SECONDS):
                return True
        except OSError:
            return False

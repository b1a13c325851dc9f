"""The exporter as the demo runs it: a process of its own, as anywhere else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Self

from exporter.demo.programs import ServerError
from exporter.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_START_SECONDS = 120.0
_ANSWER_SECONDS = 30.0
_COMMAND_SECONDS = 120.0


class ExporterProcess:
    """`loom-exporter serve` on a port of 127.0.0.1, with its files in one folder."""

    def __init__(
        self,
        dsn: str,
        folder: Path,
        port: int,
        *,
        max_interval_seconds: float | None = None,
        hour_seconds: float | None = None,
        config: Path | None = None,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "exporter.log"
        # A file and not a variable: the environment of a process is there for others to read.
        url_file = folder / "database-url"
        url_file.touch(mode=0o600)
        url_file.write_text(dsn)
        ours = {name: value for name, value in os.environ.items() if not name.startswith("LOOM_")}
        self._environment = {
            **ours,
            "LOOM_EXPORTER_DATABASE_URL_FILE": str(url_file),
            "LOOM_EXPORTER_LISTEN": f"127.0.0.1:{port}",
            "LOOM_EXPORTER_STATE_DIR": str(folder / "state"),
        }
        if max_interval_seconds:
            self._environment["LOOM_EXPORTER_MAX_INTERVAL"] = format_duration(max_interval_seconds)
        if hour_seconds:
            self._environment["LOOM_EXPORTER_HOUR"] = format_duration(hour_seconds)
        if config:
            self._environment["LOOM_EXPORTER_CONFIG"] = str(config)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "exporter", "serve"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the demo, which ends this process when its turn comes.
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the exporter."""
        if self._process is None:
            raise ServerError("The exporter was never started.")
        return self._process.pid

    def stop(self) -> None:
        """End the process, kindly at first."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command of loom-exporter to its end, with the same settings and state.

        Raises:
            ServerError: it did not end.
        """
        try:
            return subprocess.run(  # noqa: S603 - the arguments are the demo's own
                [sys.executable, "-m", "exporter", *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            told = " ".join(arguments)
            raise ServerError(
                f"loom-exporter {told} did not end within {_COMMAND_SECONDS:g} s"
            ) from None

    def metrics(self, *names: str) -> str:
        """Return /metrics, or of it only the samples with these names."""
        return self._get("/metrics", [("name[]", name) for name in names])

    def verdict(self) -> str:
        """Return the verdict as JSON; empty while there is none."""
        try:
            return self._get("/api/v1/verdict")
        except urllib.error.HTTPError:
            return ""

    def _get(self, path: str, parameters: Sequence[tuple[str, str]] = ()) -> str:
        url = f"{self.url}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS) as response:  # noqa: S310
            return str(response.read().decode())

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process and self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1.0):  # noqa: S310
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])
        raise ServerError(f"loom-exporter did not get ready; its log ends with:\n{tail}")

"""`loom-exporter demo` as a process, and somebody who gives commands to its exporter."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil

from exporter.demo.processes import send_signal, wait_until_gone
from tests.support.daemon import COMMAND, command, environment
from tests.support.observers import HANG_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STORY_SECONDS = 300.0
"""The limit of a wait for what a demo tells, which only ends a hang."""

Told = subprocess.CompletedProcess[str]
"""How a command ended, and what it wrote."""


@dataclass(frozen=True)
class Operator:
    """Somebody at a terminal, with settings of an exporter in the environment."""

    env: Mapping[str, str]

    def ask(self, *arguments: str, **changed: str) -> Told:
        """Give a command; `changed` are variables that are other than those of the exporter."""
        return command(*arguments, env={**self.env, **changed})

    def ask_until(self, is_settled: Callable[[Told], bool], *arguments: str) -> Told:
        """Give a command until its answer is settled: on a busy machine numbers go to and fro.

        Raises:
            AssertionError: It was not in time; the message has the last answer.
        """
        deadline = time.monotonic() + HANG_SECONDS
        while not is_settled(told := self.ask(*arguments)):
            if time.monotonic() > deadline:
                raise AssertionError(f"{arguments}: {told.stdout}{told.stderr}")
            time.sleep(3.0)  # the command takes a second of processor time
        return told


class Demo:
    """`loom-exporter demo` on a free port, as a process; `in_background` as a script's `demo &`."""

    def __init__(self, *arguments: str, in_background: bool = False) -> None:
        self._arguments = arguments
        # A shell without job control has what it starts in the background ignore Ctrl-C.
        self._shell = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh") if in_background else ()
        self._output = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed by __exit__
        self._processes: dict[int, list[str]] = {}

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [*self._shell, *COMMAND, "demo", "--port", "0", *self._arguments],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._output.close()

    def end(self) -> None:
        """Interrupt it, if it still runs, and wait until it is gone."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(HANG_SECONDS)
            except subprocess.TimeoutExpired:  # so that a test that fails leaves nothing either
                self.note_processes()
                self.process.kill()
                send_signal(self._processes, signal.SIGKILL)
                self.process.wait()

    @property
    def output(self) -> str:
        """What it has told so far."""
        self._output.seek(0)
        return self._output.read().decode()

    def until_told(self, pattern: str) -> re.Match[str]:
        """Wait until it has told something that matches."""

        def told() -> re.Match[str] | None:
            assert self.process.poll() is None, self.output
            return re.search(pattern, self.output)

        found = eventually(f"the demo tells {pattern!r}", told, within_seconds=STORY_SECONDS)
        assert found
        return found

    @property
    def operator(self) -> Operator:
        """Return somebody with the settings of its exporter, which runs."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # the server's come and go
                if child.cmdline()[-1:] == ["serve"]:
                    variables = child.environ().items()
                    return Operator({name: value for name, value in variables if "LOOM_" in name})
        raise AssertionError(self.output)

    def note_processes(self) -> None:
        """Remember which processes it has now, and on what they work."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it was there a moment ago
                self._processes[child.pid] = child.cmdline()

    def assert_nothing_left(self) -> None:
        """Fail if one of its processes still runs, or its folder is still there."""
        folders = {
            Path(line[line.index("-D") + 1]).parents[1]
            for line in self._processes.values()
            if "-D" in line
        }
        (folder,) = folders
        assert folder.name.startswith("loom-demo-")
        wait_until_gone(self._processes, timeout_seconds=HANG_SECONDS)
        assert not folder.exists()

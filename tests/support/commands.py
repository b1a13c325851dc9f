"""Commands of loom-exporter, run in this process."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass

import pytest

from exporter.cli import main
from tests.support.observers import eventually

_TOO_LATE = re.compile(r"\b(timeout|locked|unreachable)\b")
"""In what a command prints of a question that a busy server has kept from its answer."""


@dataclass(frozen=True)
class Outcome:
    exit_code: int
    stdout: str
    stderr: str


def run(*arguments: str) -> Outcome:
    """Run a command to its end."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        main(arguments)
    return Outcome(int(end.value.code or 0), out.getvalue(), err.getvalue())


def run_in_peace(*arguments: str) -> Outcome:
    """Run a command that asks the database, again until none of its questions comes too late."""
    tried: list[Outcome] = []

    def is_done() -> bool:
        tried.append(run(*arguments))
        return not _TOO_LATE.search(tried[-1].stdout + tried[-1].stderr)

    eventually(" ".join(arguments), is_done)
    return tried[-1]

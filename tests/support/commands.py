"""Commands of loom-exporter, run in this process."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

import pytest

from exporter.cli import main


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

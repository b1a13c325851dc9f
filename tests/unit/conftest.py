"""No test here needs a server; each begins without secrets and without settings."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from exporter.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


# A slow machine is no fault of the code, and a test writes nothing beside it.
settings.register_profile("loom", deadline=None, database=None)
settings.load_profile("loom")


def forget_secrets() -> None:
    """Begin anew; the process has one redactor, and what it was told it never forgets."""
    redact.__init__()  # type: ignore[misc]


@pytest.fixture(autouse=True)
def _no_secrets() -> Iterator[None]:
    forget_secrets()
    yield
    forget_secrets()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in tuple(os.environ):
        if variable.upper().startswith(("LOOM_EXPORTER_", "PG")):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a state file may be made: nothing is there yet, nor its folder."""
    return tmp_path / "state" / "state.sqlite3"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stop `time.monotonic()`, and return a function that moves it forward by some seconds.

    In whole seconds, so that a sum of steps is exact. The event loop reads this clock too, so its
    timers stand still; threads do not.
    """
    now = [float(math.ceil(time.monotonic()))]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move

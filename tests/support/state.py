"""What tests of the state share: a store that is closed again, and looks at it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from exporter.state import Observation, StateStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METRIC = "loom_things_timestamp_seconds"


@contextlib.contextmanager
def opened(path: Path, *, read_only: bool = False, owner: bool = False) -> Iterator[StateStore]:
    """Open the store at `path`, and close it."""
    store = StateStore(path, read_only=read_only, owner=owner)
    try:
        yield store
    finally:
        store.close()


def look(store: StateStore, token: str, at: float | None = None, label: str = "a") -> float | None:
    """Look at a metric, perhaps as the first; return the time of the token."""
    (changed_at,) = store.observe("loom", METRIC, [Observation((label,), token, at)])
    return changed_at


def see(store: StateStore, token: str, at: float | None = None, label: str = "a") -> float:
    """Look at a metric that was looked at before, when nothing was there."""
    store.observe("loom", METRIC, [])
    changed_at = look(store, token, at, label)
    assert changed_at is not None
    return changed_at

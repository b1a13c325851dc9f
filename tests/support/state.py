"""What tests of the state share: a store that is closed again, and short ways to use it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from exporter.state import Observation, Scope, StateStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from exporter.database.identity import DatabaseIdentity

METRIC = "loom_things_timestamp_seconds"


@contextlib.contextmanager
def opened(path: Path, *, read_only: bool = False, owner: bool = False) -> Iterator[StateStore]:
    """Open the store at `path`, and close it."""
    store = StateStore(path, read_only=read_only, owner=owner)
    try:
        yield store
    finally:
        store.close()


def scope(
    store: StateStore, database: str = "loom", identity: DatabaseIdentity | None = None
) -> Scope:
    """Return a scope of one deployment."""
    return Scope(store, database, "orders", identity)


def save(
    where: StateStore | Scope,
    topic: str,
    changed: Mapping[str, str | None],
    *,
    replace: bool = False,
) -> bool:
    """Write documents as text."""
    of = where if isinstance(where, Scope) else scope(where)
    content = {key: None if text is None else text.encode() for key, text in changed.items()}
    return of.store.save(of, topic, content, replace=replace)


def load(where: StateStore | Scope, topic: str) -> dict[str, str]:
    """Return documents as text."""
    of = where if isinstance(where, Scope) else scope(where)
    return {key: content.decode() for key, content in of.store.load(of, topic).items()}


def version(where: StateStore | Scope, topic: str) -> int | None:
    """Return the version of a topic."""
    of = where if isinstance(where, Scope) else scope(where)
    return of.store.version(of, topic)


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

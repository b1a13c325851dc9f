"""Documents by topic, in a file that others write too."""

import sqlite3
import time
from collections.abc import Mapping

Place = tuple[str, str]
"""A database and a topic."""


class GoneError(Exception):
    """What was saved of a topic is not there any more."""


def load(file: sqlite3.Connection, place: Place) -> dict[str, str]:
    """Return the documents of a topic by name."""
    rows = file.execute(
        "SELECT name, content FROM document WHERE database = ? AND topic = ?", place
    )
    return dict(rows.fetchall())


def names(file: sqlite3.Connection, place: Place) -> list[str]:
    """Return the names of the documents of a topic."""
    rows = file.execute("SELECT name FROM document WHERE database = ? AND topic = ?", place)
    return [name for (name,) in rows]


def read(file: sqlite3.Connection, place: Place, name: str) -> str | None:
    """Return one document of a topic, None if it is not there."""
    row = file.execute(
        "SELECT content FROM document WHERE database = ? AND topic = ? AND name = ?",
        (*place, name),
    ).fetchone()
    return row[0] if row else None


def version(file: sqlite3.Connection, place: Place) -> int:
    """Return a number that grows with each save of a topic; 0 for one that was never saved."""
    found = file.execute("SELECT version FROM topic WHERE database = ? AND topic = ?", place)
    row = found.fetchone()
    return row[0] if row else 0


def save(
    file: sqlite3.Connection,
    place: Place,
    changed: Mapping[str, str | None],
    *,
    replace: bool,
    known_version: int,
) -> int:
    """Write documents of a topic, all or none of them, and return its new version.

    Raises:
        GoneError: the topic is older than `known_version`, so that changes alone are not enough.
        sqlite3.Error: the file cannot be written.
    """
    kept = [(*place, name, text) for name, text in changed.items() if text is not None]
    gone = [(*place, name) for name, text in changed.items() if text is None]
    with file:
        file.execute("BEGIN IMMEDIATE")
        before = version(file, place)
        if before < known_version and not replace:
            raise GoneError(f"what was saved of {place[1]} before is gone")
        # The clock makes it differ from the versions of a file that was here before.
        after = max(before + 1, time.time_ns() // 1000)
        if replace:
            file.execute("DELETE FROM document WHERE database = ? AND topic = ?", place)
        file.executemany("DELETE FROM document WHERE database = ? AND topic = ? AND name = ?", gone)
        file.executemany("INSERT OR REPLACE INTO document VALUES (?, ?, ?, ?)", kept)
        file.execute("INSERT OR REPLACE INTO topic VALUES (?, ?, ?)", (*place, after))
    return after

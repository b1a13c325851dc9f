"""Documents by scope, topic and key, in a file that other processes write too."""

import sqlite3
import time
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from exporter.database.identity import DatabaseIdentity
from exporter.state.schema import CorruptError, checksum

NOT_THERE = 0
"""The number of a scope that the file does not have: no row is of it."""


def find_scope(
    file: sqlite3.Connection, database: str, deployment: str, identity: DatabaseIdentity | None
) -> int:
    """Return the number of a scope, or `NOT_THERE`; the newest if several may be the one."""
    known = scopes(file, database, deployment)
    if identity is None or identity in known:
        return known.get(identity, NOT_THERE)
    same = (number for other, number in known.items() if other and other.is_same(identity))
    return max(same, default=NOT_THERE)


def make_scope(
    file: sqlite3.Connection, database: str, deployment: str, identity: DatabaseIdentity | None
) -> int:
    """Return the number of a scope, which is written if it is new, or if more is known of it."""
    number = find_scope(file, database, deployment, identity)
    row = (database, deployment, *(identity or (None, None, None)))
    if number == NOT_THERE:
        insert = "INSERT INTO scope VALUES (NULL, ?, ?, ?, ?, ?, ?) RETURNING id"
        ((number,),) = file.execute(insert, (*row, checksum(*row))).fetchall()
    elif identity and identity.system:
        file.execute(
            "UPDATE scope SET system = ?, checksum = ? WHERE id = ? AND system IS NULL",
            (identity.system, checksum(*row), number),
        )
    return number


def scopes(
    file: sqlite3.Connection, database: str, deployment: str
) -> dict[DatabaseIdentity | None, int]:
    """Return the numbers of a deployment's scopes by identity; None is for what people say.

    Raises:
        CorruptError: a scope is damaged, so that it is not known whose its documents are.
    """
    rows = file.execute(
        "SELECT * FROM scope WHERE database = ? AND deployment = ?", (database, deployment)
    ).fetchall()
    _check(rows)
    return {
        None if name is None else DatabaseIdentity(name, oid, system): number
        for number, _, _, name, oid, system, _ in rows
    }


def check_scopes(file: sqlite3.Connection) -> None:
    """Check all scopes, also those whose names are damaged, so that `scopes` misses them.

    Raises:
        CorruptError: one is damaged.
    """
    _check(file.execute("SELECT * FROM scope"))


def versions(
    file: sqlite3.Connection, database: str, deployment: str, topic: str
) -> dict[DatabaseIdentity, int]:
    """Return the databases of which there are documents of a topic, with its version.

    The one that was saved last is the first.
    """
    found = {
        identity: version(file, number, topic)
        for identity, number in scopes(file, database, deployment).items()
        if identity and keys(file, number, topic)
    }
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def load(file: sqlite3.Connection, scope: int, topic: str) -> dict[str, bytes]:
    """Return the documents of a topic by key; one that is damaged is empty."""
    rows = file.execute(
        "SELECT key, content, checksum FROM document WHERE scope = ? AND topic = ?", (scope, topic)
    )
    return {key: _checked(topic, key, content, claimed) for key, content, claimed in rows}


def keys(file: sqlite3.Connection, scope: int, topic: str) -> list[str]:
    """Return the keys of the documents of a topic."""
    rows = file.execute("SELECT key FROM document WHERE scope = ? AND topic = ?", (scope, topic))
    return [key for (key,) in rows]


def read(file: sqlite3.Connection, scope: int, topic: str, key: str) -> bytes | None:
    """Return one document, empty if it is damaged; None if it is not there."""
    row = file.execute(
        "SELECT content, checksum FROM document WHERE scope = ? AND topic = ? AND key = ?",
        (scope, topic, key),
    ).fetchone()
    return _checked(topic, key, *row) if row else None


def version(file: sqlite3.Connection, scope: int, topic: str) -> int:
    """Return a number that grows with each save of a topic; 0 for one that was never saved."""
    row = file.execute(
        "SELECT version FROM topic WHERE scope = ? AND topic = ?", (scope, topic)
    ).fetchone()
    return row[0] if row else 0


def save(
    file: sqlite3.Connection,
    scope: int,
    topic: str,
    changed: Mapping[str, bytes | None],
    *,
    replace: bool,
) -> int:
    """Write documents of a topic, within a transaction, and return its new version.

    Raises:
        sqlite3.Error: the file cannot be written.
    """
    # The time makes it differ from the versions of a file that was here before.
    after = max(version(file, scope, topic) + 1, time.time_ns() // 1000)
    if replace:
        file.execute("DELETE FROM document WHERE scope = ? AND topic = ?", (scope, topic))
    file.executemany(
        "DELETE FROM document WHERE scope = ? AND topic = ? AND key = ?",
        [(scope, topic, key) for key, content in changed.items() if content is None],
    )
    file.executemany(
        "INSERT OR REPLACE INTO document VALUES (?, ?, ?, ?, ?)",
        [
            (scope, topic, key, content, _checksum(topic, key, content))
            for key, content in changed.items()
            if content is not None
        ],
    )
    file.execute("INSERT OR REPLACE INTO topic VALUES (?, ?, ?)", (scope, topic, after))
    return after


def _check(rows: Iterable[tuple[Any, ...]]) -> None:
    for _, *row, claimed in rows:
        if checksum(*row) != claimed:
            raise CorruptError("a scope is not what its checksum says")


def _checksum(topic: str, key: str, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(f"{topic}\0{key}".encode()))


def _checked(topic: str, key: str, content: bytes, claimed: int) -> bytes:
    return content if _checksum(topic, key, content) == claimed else b""

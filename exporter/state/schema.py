"""The tables of the state file, and the checksum of each row."""

import contextlib
import sqlite3
import zlib
from collections.abc import Iterator

SCHEMA_VERSION = 4

TABLES = (
    # Of what is observed of a database; without an identity, of what people say.
    """
    CREATE TABLE scope (
        id         INTEGER PRIMARY KEY,
        database   TEXT NOT NULL,  -- value of the label
        deployment TEXT NOT NULL,
        name       TEXT,           -- of the database
        oid        INTEGER,
        system     TEXT,           -- system identifier; NULL where the role may not read it
        checksum   INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE document (
        scope    INTEGER NOT NULL REFERENCES scope,
        topic    TEXT NOT NULL,
        key      TEXT NOT NULL,
        content  BLOB NOT NULL,  -- JSON
        checksum INTEGER NOT NULL,
        PRIMARY KEY (scope, topic, key)
    ) WITHOUT ROWID, STRICT
    """,
    """
    CREATE TABLE topic (
        scope   INTEGER NOT NULL REFERENCES scope,
        topic   TEXT NOT NULL,
        version INTEGER NOT NULL,  -- grows with each save
        PRIMARY KEY (scope, topic)
    ) WITHOUT ROWID, STRICT
    """,
    """
    CREATE TABLE token (
        database   TEXT NOT NULL,
        metric     TEXT NOT NULL,
        labels     TEXT NOT NULL,  -- JSON array of the label values
        token      TEXT NOT NULL,
        changed_at REAL,           -- Unix time; NULL: before the first look
        checksum   INTEGER NOT NULL,
        PRIMARY KEY (database, metric, labels)
    ) WITHOUT ROWID, STRICT
    """,
    # Metrics that were looked at, even if there was no token.
    """
    CREATE TABLE IF NOT EXISTS watched (
        database TEXT NOT NULL,
        metric   TEXT NOT NULL,
        PRIMARY KEY (database, metric)
    ) WITHOUT ROWID, STRICT
    """,
)


class CorruptError(Exception):
    """The file is not what was written; `str()` is one line."""


class NewerVersionError(Exception):
    """The file was written by a newer version: it is neither read nor touched."""


def checksum(*values: str | float | None) -> int:
    """Return the CRC-32 of a row."""
    return zlib.crc32(repr(values).encode())


def version_of(file: sqlite3.Connection) -> int:
    """Return the version of the schema that a file has; 0 for a new one."""
    version: int = file.execute("PRAGMA user_version").fetchone()[0]
    return version


@contextlib.contextmanager
def transaction(file: sqlite3.Connection) -> Iterator[None]:
    """Write all of what follows or, if that fails, none of it.

    Raises:
        sqlite3.Error: the file cannot be written.
    """
    with file:
        file.execute("BEGIN IMMEDIATE")
        yield

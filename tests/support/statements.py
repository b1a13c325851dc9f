"""pg_stat_statements of a real server, read as the exporter reads it."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.numeric import Int4

from exporter.database.grants import grants_sql
from exporter.database.roles import ROLE
from exporter.statements.counters import Advance, Delta, Key, Poll, advance, combine
from exporter.statements.reading import (
    EXTENSION,
    StatementsExtension,
    StatementText,
    poll_sql,
    read_poll,
    read_texts,
    text_parameters,
    texts_sql,
)
from exporter.statements.text import identity
from tests.support.loom_database import make_database, make_template
from tests.support.observers import eventually, follow
from tests.support.queries import make_catalog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.demo.postgres import PostgresServer
    from tests.conftest import NewServer
    from tests.support.loom_database import LoomDatabase


class Watcher:
    """Polls a database, and remembers all that was counted, by the statement's identity."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.extension = find_extension(connection)
        self.polled: Poll | None = None
        self.texts: dict[Key, StatementText] = {}
        self.counted: dict[str, list[Delta]] = {}

    def read(self) -> Poll:
        """Read all entries, and nothing else."""
        query = sql.SQL(poll_sql(self.extension))
        return read_poll(self.connection.execute(query, binary=True).fetchall())

    def poll(self) -> Advance:
        """Read all entries, and count what is new."""
        poll = self.read()
        step = advance(self.polled, poll)
        self.polled = poll
        self.texts.update(self.read_texts(step.fresh))
        for key, delta in step.deltas.items():
            # An entry may be evicted before its text is asked for.
            text = self.texts[key].text if key in self.texts else None
            if known_by := identity(text):
                self.counted.setdefault(known_by, []).append(delta)
        return step

    def read_texts(self, keys: frozenset[Key]) -> Mapping[Key, StatementText]:
        """Fetch the texts of some entries."""
        query = sql.SQL(texts_sql(self.extension))
        return read_texts(self.connection.execute(query, text_parameters(keys)).fetchall())

    def keys(self, text: str) -> list[Key]:
        """Return the entries that were ever seen of a statement."""
        return [key for key, seen in self.texts.items() if identity(seen.text) == identity(text)]

    def total(self, text: str) -> Delta:
        """Return all that was counted of a statement."""
        return combine(self.counted.get(identity(text) or "", []))


def find_extension(connection: psycopg.Connection[Any]) -> StatementsExtension:
    """Return the extension that this database has."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(EXTENSION).fetchone()
    assert row is not None
    return StatementsExtension(**row)


@contextlib.contextmanager
def watching(loom: LoomDatabase, *, may_read_all: bool = True) -> Iterator[Watcher]:
    """Poll with the rights of the exporter's role, as `grants` gives them."""
    with loom.connect("postgres") as owner:
        owner.execute(grants_sql(make_catalog()).encode())
        if not may_read_all:
            owner.execute(f"REVOKE pg_read_all_stats FROM {ROLE}")
    loom.allow_login(ROLE)
    with loom.connect(ROLE) as connection:
        yield Watcher(connection)


def schema(connection: psycopg.Connection[Any]) -> sql.Identifier:
    """Return the schema that the extension is in."""
    return sql.Identifier(find_extension(connection).schema)


def reset(loom: LoomDatabase, key: Key | None = None) -> None:
    """Reset one entry, or all of them."""
    arguments = [] if key is None else [key.user, key.database, key.query]
    with loom.connect() as connection:
        connection.execute(
            sql.SQL("SELECT {}.pg_stat_statements_reset({})").format(
                schema(connection), sql.SQL(", ").join(arguments)
            )
        )


WORK = "select count(*) from generate_series($1, $2)"
"""The text of what `work` runs."""


def work(application: psycopg.Connection[Any], times: int, size: int = 100) -> None:
    """Run a statement that takes as long as `size` says."""
    for _ in range(times):
        # A number of another type would make it another queryid.
        application.execute("SELECT count(*) FROM generate_series(1, %s)", [Int4(size)])


def own_loom(new_server: NewServer, version: int, **settings: str) -> LoomDatabase:
    """Return a database on a server of its own; `settings` are those of pg_stat_statements."""
    named = {f"pg_stat_statements.{name}": value for name, value in settings.items()}
    server = new_server(version, named)
    make_template(server)
    return make_database(server)


def crash(server: PostgresServer, application: psycopg.Connection[Any]) -> None:
    """Kill one backend, at which the server throws away what all of them share."""
    log = follow(server.log)
    os.kill(application.info.backend_pid, signal.SIGKILL)

    def takes_connections() -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(server.dsn()).close()
            return True
        return False

    # Until it has noticed, it takes connections that it will throw away.
    eventually("it notices", lambda: "reinitializing" in log())
    eventually("it takes connections", takes_connections)

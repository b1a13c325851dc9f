"""The names that a database has: of relations, functions, roles and schemas."""

import threading
from collections.abc import Mapping, Set
from typing import Literal, NamedTuple

import psycopg

from exporter.catalog.relation_name import RelationName
from exporter.database.connection import CONNECTION_PARAMETERS, hang_up
from exporter.database.sqlstate import describe_error, state_of
from exporter.database.transaction import BEGIN, GUARD, SEARCH_PATH, guard_parameters
from exporter.run_state import RunError

NameKind = Literal["relation", "function", "role", "schema"]

_TIMEOUT_SECONDS = 5.0

_DEADLINE_SECONDS = 20.0
"""A server that is silent for this long is taken for dead."""

_NAMES: Mapping[NameKind, str] = {
    "relation": "SELECT n.nspname, c.relname FROM pg_class AS c"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_(toast|temp)'",
    "function": "SELECT DISTINCT n.nspname, p.proname FROM pg_proc AS p"
    " JOIN pg_namespace AS n ON n.oid = p.pronamespace",
    "role": "SELECT NULL, rolname FROM pg_roles",
    "schema": "SELECT NULL, nspname FROM pg_namespace",
}


class DatabaseNames(NamedTuple):
    """What a database has, by kind; roles and schemas are in no schema."""

    database: str
    server_version: int
    """Such as 180001 for 18.1."""
    names: Mapping[NameKind, Set[RelationName]]


def read_names(conninfo: str) -> DatabaseNames:
    """Read the names from the catalogs, which any role may.

    Raises:
        RunError: with the state in which it ended.
    """
    try:
        with psycopg.connect(conninfo, **CONNECTION_PARAMETERS) as connection:
            deadline = threading.Timer(_DEADLINE_SECONDS, hang_up, [connection])
            deadline.start()
            try:
                return _read(connection)
            finally:
                deadline.cancel()
    except psycopg.Error as error:
        raise RunError(state_of(error), describe_error(error)) from None


def _read(connection: psycopg.Connection) -> DatabaseNames:
    connection.execute(BEGIN)
    connection.execute(SEARCH_PATH)
    connection.execute(GUARD, guard_parameters(_TIMEOUT_SECONDS))
    names: dict[NameKind, set[RelationName]] = {
        kind: {RelationName(*row) for row in connection.execute(query.encode())}
        for kind, query in _NAMES.items()
    }
    connection.rollback()
    return DatabaseNames(connection.info.dbname, connection.info.server_version, names)

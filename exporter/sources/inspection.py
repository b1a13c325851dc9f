"""Holds each query against a real server without running it: `loom-exporter check --database`."""

import threading
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import psycopg
from psycopg import pq
from psycopg.rows import dict_row

from exporter.catalog.query import Query
from exporter.database.connection import CONNECTION_PARAMETERS, hang_up
from exporter.database.grants import FUNCTION_SCHEMA, ROLE
from exporter.database.outcome import RunError, State, describe_error, state_of
from exporter.database.transaction import BEGIN, GUARD, SEARCH_PATH, guard_parameters
from exporter.sources.preflight import PREFLIGHT, decide, preflight_parameters

_NUMBERS = {20, 21, 23, 26, 700, 701, 1700}
"""Type OIDs of bigint, smallint, integer, oid, real, double precision and numeric."""


_DEADLINE_SECONDS = 10.0
"""A server that says nothing for so long is taken for dead."""


class Inspection(NamedTuple):
    """What the server said of one query: `ok`, `absent`, or what stands in its way."""

    query: str
    state: State
    detail: str = ""


def inspect(conninfo: str, queries: Iterable[Query]) -> Iterator[Inspection]:
    """Have the server parse each query, and compare the columns of its result with the header.

    Nothing is executed but a look at the catalogs, so neither load nor locks come of it.

    Raises:
        RunError: `unreachable`, the database cannot be reached.
    """
    try:
        with psycopg.connect(conninfo, **CONNECTION_PARAMETERS) as connection:
            for query in queries:
                yield _inspect_in_time(connection, query)
    except psycopg.OperationalError as error:
        raise RunError(State.UNREACHABLE, describe_error(error)) from None


def _inspect_in_time(connection: psycopg.Connection, query: Query) -> Inspection:
    deadline = threading.Timer(_DEADLINE_SECONDS, hang_up, [connection])
    deadline.start()
    try:
        return Inspection(query.name, State.OK, _inspect(connection, query))
    except RunError as error:
        return Inspection(query.name, error.state, str(error))
    except psycopg.Error as error:
        if connection.broken:
            raise
        return Inspection(query.name, state_of(error), describe_error(error))
    finally:
        deadline.cancel()


def _inspect(connection: psycopg.Connection, query: Query) -> str:
    connection.execute(BEGIN)
    try:
        connection.execute(SEARCH_PATH)
        connection.execute(GUARD, guard_parameters(query.header.timeout))
        cursor = connection.cursor(row_factory=dict_row)
        (found,) = cursor.execute(PREFLIGHT, preflight_parameters(query))
        if decide(query, found):
            return _inspect_function(connection, query)
        _compare(query, _result_columns(connection.pgconn, query.text))
    finally:
        connection.rollback()
    if query.header.access == "definer":
        return "no function installed; the text runs with the rights of this role"
    return ""


def _inspect_function(connection: psycopg.Connection, query: Query) -> str:
    name = f"{FUNCTION_SCHEMA}.{query.name}()"
    # By oid: to look a function up by its name takes USAGE on the schema, and fails without.
    row = connection.execute(
        "SELECT bool_or(has_schema_privilege(n.oid, 'USAGE')"
        " AND has_function_privilege(p.oid, 'EXECUTE'))"
        " FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace"
        " WHERE n.nspname = %s AND p.proname = %s AND p.pronargs = 0",
        [FUNCTION_SCHEMA, query.name],
    ).fetchone()
    if row is None or not row[0]:
        raise RunError(State.DENIED, f"{name} may be executed by {ROLE} only; connect as {ROLE}")
    return f"through {name}"


def _result_columns(pgconn: pq.abc.PGconn, text: str) -> dict[str, int]:
    """Return the columns of the result with the OIDs of their types; only parses."""
    for result in (pgconn.prepare(b"", text.encode()), pgconn.describe_prepared(b"")):
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)
    return {
        (result.fname(number) or b"").decode(): result.ftype(number)
        for number in range(result.nfields)
    }


def _compare(query: Query, columns: dict[str, int]) -> None:
    for column, sql_type in query.columns.items():
        if column not in columns:
            raise RunError(
                State.ERROR,
                f"no column `{column}` in the result; it has {', '.join(columns) or 'none'}",
            )
        if sql_type == "double precision" and columns[column] not in _NUMBERS:
            raise RunError(State.ERROR, f"column `{column}` is not a number; cast it in the query")

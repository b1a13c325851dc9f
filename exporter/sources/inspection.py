"""What a server says of each query without running it: `loom-exporter check --database`."""

import json
import re
import threading
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import psycopg
from psycopg import pq, sql
from psycopg.rows import dict_row

from exporter.catalog.query import Query
from exporter.database.connection import CONNECTION_PARAMETERS, hang_up
from exporter.database.grants import function_name, function_schema
from exporter.database.roles import ROLE
from exporter.database.sqlstate import describe_error, state_of
from exporter.database.transaction import (
    BEGIN,
    GUARD,
    SEARCH_PATH,
    SET_PARAMETERS,
    guard_parameters,
)
from exporter.parser import SqlError, parse_sql
from exporter.run_state import RunError, State
from exporter.sources.preflight import (
    PREFLIGHT,
    decide,
    preflight_parameters,
    remedy_of_denial,
)
from exporter.sources.sql import statement

_CONVERTED = {
    19: "name",
    25: "text",
    1042: "character",
    1043: "character varying",
    3802: "jsonb",
}
"""Types, by OID, whose values become numbers one by one, or fail one by one."""

# A type outside pg_catalog that turns into one of pg_catalog by itself: with our search_path its
# own operators are not found, and those of the other type answer: text = text for citext.
_FOREIGN_OPERANDS = """
SELECT a.attname, format_type(a.atttypid, NULL), min(quote_ident(s.nspname))
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type AS t ON t.oid = a.atttypid
JOIN pg_cast AS k ON k.castsource IN (t.oid, t.typbasetype) AND k.castcontext = 'i'
JOIN pg_operator AS o ON o.oprleft = k.castsource
JOIN pg_namespace AS s ON s.oid = o.oprnamespace AND s.nspname <> 'pg_catalog'
WHERE c.relname = ANY (%(words)s) AND a.attname = ANY (%(words)s)
GROUP BY a.attname, a.atttypid
"""


# Functions in SQL or a procedural language whose own names depend on the search_path of the caller,
# which is pg_catalog alone. Planning finds no fault in them.
_OPEN_FUNCTIONS = """
SELECT DISTINCT quote_ident(n.nspname) || '.' || quote_ident(p.proname)
FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS called (schema, name)
JOIN pg_namespace AS n ON n.nspname = called.schema AND n.nspname <> 'pg_catalog'
JOIN pg_proc AS p ON p.pronamespace = n.oid AND p.proname = called.name
JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname NOT IN ('c', 'internal')
WHERE p.prosqlbody IS NULL
  AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS s WHERE starts_with(s, 'search_path='))
ORDER BY 1
"""

_DEADLINE_SECONDS = 10.0
"""A server that is silent for this long is taken for dead."""


class Inspection(NamedTuple):
    """What the server said of one query: `ok`, `absent`, or what stands in its way."""

    query: str
    state: State
    detail: str = ""


def inspect(conninfo: str, queries: Iterable[Query]) -> Iterator[Inspection]:
    """Have the server plan each query as a run would, and compare its columns with the header.

    Only questions to the catalogs are executed. What depends on values (a text that is no number, a
    division by zero) is found by a run alone.

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
        told = describe_error(error)
        if state_of(error) is State.DENIED:
            told = f"{told}; {remedy_of_denial(query)}"
        return Inspection(query.name, state_of(error), told)
    finally:
        deadline.cancel()


def _inspect(connection: psycopg.Connection, query: Query) -> str:
    connection.execute(BEGIN)
    try:
        connection.execute(SEARCH_PATH)
        connection.execute(GUARD, guard_parameters(query.header.timeout))
        connection.execute(SET_PARAMETERS, {"settings": json.dumps(dict(query.parameters))})
        cursor = connection.cursor(row_factory=dict_row)
        (found,) = cursor.execute(PREFLIGHT, preflight_parameters(query))
        if decide(query, found):
            notes = [_inspect_function(connection, query), *_inspect_body(connection, query)]
        else:
            columns = _result_columns(connection.pgconn, query.text)
            _compare(query, columns)
            # Planned as a run is planned, with its casts and its rights, and not executed.
            connection.execute(sql.SQL("EXPLAIN {}").format(statement(query, call=False)))
            notes = [*_doubts(query, columns), *_foreign_names(connection, query)]
            if query.header.access == "definer":
                notes.append("no function installed; the text runs with the rights of this role")
    finally:
        connection.rollback()
    return "; ".join(notes)


def _inspect_body(connection: psycopg.Connection, query: Query) -> list[str]:
    """Look at the text of an installed function, as far as the rights of this role let us.

    Raises:
        psycopg.Error: the text has a fault, which a call would meet.
    """
    try:
        columns = _result_columns(connection.pgconn, query.text)
        _compare(query, columns)
        _result_columns(connection.pgconn, query.select)
    except psycopg.errors.InsufficientPrivilege:
        return []  # the rights of the function's owner are wider than ours
    return [*_doubts(query, columns), *_foreign_names(connection, query)]


def _inspect_function(connection: psycopg.Connection, query: Query) -> str:
    name = function_name(query)
    # By oid: to look a function up by its name takes USAGE on the schema, and fails without.
    row = connection.execute(
        "SELECT bool_or(has_schema_privilege(n.oid, 'USAGE')"
        " AND has_function_privilege(p.oid, 'EXECUTE'))"
        " FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace"
        " WHERE n.nspname = %s AND p.proname = %s AND p.pronargs = 0",
        [function_schema(query.pack), query.name],
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
    for column in query.columns:
        if column not in columns:
            raise RunError(
                State.ERROR,
                f"no column `{column}` in the result; it has {', '.join(columns) or 'none'}",
            )


def _doubts(query: Query, columns: dict[str, int]) -> list[str]:
    """Return what only the values can tell: whether each of them is a number."""
    return [
        f"column `{column}` is {_CONVERTED[columns[column]]}, and a run fails at a value that is"
        " no number; cast it in the query"
        for column, sql_type in query.columns.items()
        if sql_type == "double precision" and columns[column] in _CONVERTED
    ]


def _foreign_names(connection: psycopg.Connection, query: Query) -> list[str]:
    """Return a warning for each thing outside pg_catalog on which the answer depends."""
    called = sorted(_qualified_calls(query.text))
    parameters = {"schemas": [each[0] for each in called], "names": [each[1] for each in called]}
    found = connection.execute(_OPEN_FUNCTIONS, parameters).fetchall() if called else ()
    return [
        *_foreign_operands(connection, query),
        *(
            f"calls {function}, which looks up its own names in pg_catalog alone here;"
            " give it a search_path (ALTER FUNCTION … SET search_path)"
            for (function,) in found
        ),
    ]


def _qualified_calls(text: str) -> set[tuple[str, str]]:
    """Return schema and name of each function that a text calls with its schema."""
    found: set[tuple[str, str]] = set()
    try:
        stack: list[Any] = list(parse_sql(text))
    except SqlError:
        return found
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            stack.extend(node.values())
            parts = [part["String"]["sval"] for part in node.get("funcname", ())]
            if len(parts) > 1:
                found.add((parts[-2], parts[-1]))
    return found


def _foreign_operands(connection: psycopg.Connection, query: Query) -> list[str]:
    """Return a warning for each column whose own operators the query does not find."""
    if "OPERATOR(" in query.text.upper().replace(" ", ""):
        return []
    words = re.findall(r"\w+", f"{query.text} {query.text.lower()}")
    found = connection.execute(_FOREIGN_OPERANDS, {"words": words}).fetchall()
    return [
        f"column `{column}` is of type {kind}, whose operators are outside pg_catalog;"
        f" write OPERATOR({schema}.=) instead of =, and so on"
        for column, kind, schema in found
    ]

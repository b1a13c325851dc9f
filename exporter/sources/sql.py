"""A query file as one SQL statement: what it requires is checked first, then its rows are read."""

from functools import partial

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from exporter.catalog.query import Query
from exporter.database.connection import MonitorConnection
from exporter.database.database import Database
from exporter.database.grants import function_name
from exporter.database.sqlstate import is_undefined
from exporter.database.transaction import SEARCH_PATH, Question, begin, end, transact
from exporter.run_state import RunError, State
from exporter.sources import Rows
from exporter.sources.preflight import (
    PREFLIGHT,
    decide,
    needs_preflight,
    preflight_parameters,
    remedy_of_denial,
)

LONGEST_LABEL = 1024
"""A longer value is no label but a document; Prometheus may refuse the whole page for it."""

LONGEST_TOKEN = 200_000
"""Characters. Of a longer token the server sends a hash; it may hold a hash of each object."""

_LABEL_TEXT = f'left(r."{{0}}", {LONGEST_LABEL + 1}) AS "{{0}}"'
_LONG_TEXT = (
    f'CASE WHEN length(r."{{0}}") <= {LONGEST_TOKEN}'
    " THEN r.\"{0}\" ELSE 'sha256:' || encode(sha256("
    'convert_to(r."{0}", getdatabaseencoding())), \'hex\') END AS "{0}"'
)


async def fetch(database: Database, query: Query) -> Rows:
    """Run `query` once and return at most `series_limit` of its rows.

    Raises:
        RunError: with the state in which the run ended.
    """
    # The preflight and the query may each use up statement_timeout.
    try:
        return await database.run(partial(_run, query=query), 2 * query.header.timeout)
    except RunError as error:
        if error.state is not State.DENIED:
            raise
        raise RunError(State.DENIED, f"{error}; {remedy_of_denial(query)}") from None


async def _run(connection: MonitorConnection, query: Query) -> Rows:
    """Run `query` in a transaction of its own, and leave none behind.

    Raises:
        psycopg.Error: as the server or the network has it.
        RunError: what the query requires is not there, or its function is outdated.
    """
    try:
        asks_first = needs_preflight(query)
        call = await _preflight(connection, query) if asks_first else False
        question = Question(
            statement(query, call=call), query.header.timeout, settings=query.parameters
        )
        rows = await transact(connection, question, has_begun=asks_first)
    except psycopg.Error as error:
        if is_undefined(error) and needs_preflight(query):
            # What is required may have been dropped after the first look; then it is absent.
            await end(connection)
            await _preflight(connection, query)
        raise
    finally:
        await end(connection)
    return Rows(tuple(query.columns), [row[:-1] for row in rows], rows[0][-1] if rows else 0)


def statement(query: Query, *, call: bool) -> sql.Composed:
    """Return what is sent for `query`: its text, or a call of the function made from it.

    The last column counts the rows before the limit, so that what is cut off is known. Long texts
    are cut on the server: a label that is too long is an error whatever its length, and of a long
    token only whether it changes matters.
    """
    source = function_name(query) if call else f"({query.select})"
    labels = {label for metric in query.metrics.values() for label in metric.labels}
    columns = ", ".join(
        _LABEL_TEXT.format(column)
        if column in labels
        else (_LONG_TEXT if sql_type == "text" else 'r."{0}"').format(column)
        for column, sql_type in query.columns.items()
    )
    # A query's file is code, written by the one who runs the exporter: as trusted as a literal.
    return sql.SQL("SELECT {}, count(*) OVER () FROM {} AS r LIMIT {}").format(
        sql.SQL(columns), sql.SQL(source), sql.Literal(query.header.series_limit)
    )


def as_script(query: Query) -> str:
    """Return what is sent for `query` as a script for psql, with the settings that it reads."""
    settings = ",\n       ".join(
        sql.SQL("set_config({}, {}, true)").format(name, value).as_string()
        for name, value in query.parameters.items()
    )
    begin_with = f"BEGIN READ ONLY;\n{SEARCH_PATH};\n" + (
        f"SELECT {settings};\n" if settings else ""
    )
    return f"{begin_with}{query.text.strip()};\nCOMMIT;\n"


async def _preflight(connection: MonitorConnection, query: Query) -> bool:
    """Begin the transaction and look at the server; return whether to call the function."""
    async with connection.pipeline():
        await begin(connection, query.header.timeout, settings=query.parameters)
        cursor = connection.cursor(row_factory=dict_row)
        await cursor.execute(PREFLIGHT, preflight_parameters(query))
        (found,) = await cursor.fetchall()
    return decide(query, found)

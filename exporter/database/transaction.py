"""One question: a short, read-only, lock-shy transaction, in one round trip or two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from exporter.catalog.query import Query
from exporter.database.connection import MonitorConnection
from exporter.database.grants import SCHEMA
from exporter.database.preflight import PREFLIGHT, judge, needs_preflight, preflight_parameters

LOCK_TIMEOUT_SECONDS = 0.25
"""How long a query of ours may stand in a lock queue, in front of a migration."""

# row_security = off: a policy that would hide rows raises an error instead of a false zero.
# jit, parallel workers: no query of ours is worth a second of somebody else's CPU.
GUARD = """
SELECT set_config('statement_timeout', %(statement_timeout)s, true),
       set_config('lock_timeout', %(lock_timeout)s, true),
       set_config('idle_in_transaction_session_timeout', '5s', true),
       set_config('row_security', 'off', true),
       set_config('search_path', 'pg_catalog', true),
       set_config('jit', 'off', true),
       set_config('max_parallel_workers_per_gather', '0', true)
"""
"""Sets limits for the transaction alone: a pooler would hand a session's on to somebody else."""


class Rows(NamedTuple):
    """The result of a query: the columns' names, the rows that were kept, how many there were."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]
    total: int


@dataclass(frozen=True, slots=True)
class Question:
    """SQL that no file of a query holds, made by code. Binary rows are cheaper where many come."""

    text: str | sql.Composed
    timeout_seconds: float
    parameters: Mapping[str, Any] | None = None
    binary: bool = False


async def ask(connection: MonitorConnection, question: Question) -> Sequence[tuple[Any, ...]]:
    """Return the rows of `question`, asked in a transaction of its own.

    Raises:
        psycopg.Error: as the server or the network has it.
    """
    try:
        return await _transact(connection, question)
    finally:
        await _end(connection)


async def run(connection: MonitorConnection, query: Query) -> Rows:
    """Run `query` in a transaction of its own, and leave none behind.

    Raises:
        psycopg.Error: as the server or the network has it.
        RunError: what the query requires is not there, or its function is outdated.
    """
    try:
        asks_first = needs_preflight(query)
        call = await _preflight(connection, query) if asks_first else False
        question = Question(statement(query, call=call), query.header.timeout)
        rows = await _transact(connection, question, has_begun=asks_first)
    finally:
        await _end(connection)
    return Rows(tuple(query.columns), [row[:-1] for row in rows], rows[0][-1] if rows else 0)


def guard_parameters(timeout_seconds: float) -> dict[str, str]:
    """Return the parameters of `GUARD` for a question that may take so long."""
    return {
        "statement_timeout": f"{timeout_seconds * 1000:.0f}ms",
        "lock_timeout": f"{LOCK_TIMEOUT_SECONDS * 1000:.0f}ms",
    }


def statement(query: Query, *, call: bool) -> sql.Composed:
    """Return what is sent for `query`: its text, or a call of the function made from it.

    The last column counts the rows before the limit, so that what is cut off is known.
    """
    source = f"{SCHEMA}.{query.name}()" if call else f"({query.select})"
    # A query's file is code, written by whoever runs the exporter: as trusted as a literal.
    return sql.SQL("SELECT r.*, count(*) OVER () FROM {} AS r LIMIT {}").format(
        sql.SQL(source), sql.Literal(query.header.series_limit)
    )


async def _transact(
    connection: MonitorConnection, question: Question, *, has_begun: bool = False
) -> Sequence[tuple[Any, ...]]:
    """Ask under the guard, and commit.

    A pipeline sends everything in one round trip. It also makes the server refuse a second
    statement in the text, because each message of the extended protocol holds one.
    """
    async with connection.pipeline():
        if not has_begun:
            await _begin(connection, question.timeout_seconds)
        cursor = await connection.execute(
            question.text, question.parameters, binary=question.binary
        )
        await connection.execute("COMMIT")
        rows: Sequence[tuple[Any, ...]] = await cursor.fetchall()
    return rows


async def _begin(connection: MonitorConnection, timeout_seconds: float) -> None:
    await connection.execute("BEGIN READ ONLY")
    await connection.execute(GUARD, guard_parameters(timeout_seconds))


async def _preflight(connection: MonitorConnection, query: Query) -> bool:
    """Begin the transaction and look at the server; return whether to call the function."""
    async with connection.pipeline():
        await _begin(connection, query.header.timeout)
        cursor = connection.cursor(row_factory=dict_row)
        await cursor.execute(PREFLIGHT, preflight_parameters(query))
        (found,) = await cursor.fetchall()
    return judge(query, found)


async def _end(connection: MonitorConnection) -> None:
    """End what is still open; a connection that cannot even do that is closed.

    By a COMMIT, which after an error the server makes a rollback: where there was none, a rollback
    would count among those of the application.
    """
    if connection.closed or connection.info.transaction_status is TransactionStatus.IDLE:
        return
    try:
        await connection.commit()
    except psycopg.Error:
        await connection.close()

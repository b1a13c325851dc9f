"""One question: a short, read-only, lock-shy transaction, in one round trip or two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from exporter.database.connection import MonitorConnection

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
        return await transact(connection, question)
    finally:
        await end(connection)


def guard_parameters(timeout_seconds: float) -> dict[str, str]:
    """Return the parameters of `GUARD` for a question that may take so long."""
    return {
        "statement_timeout": f"{timeout_seconds * 1000:.0f}ms",
        "lock_timeout": f"{LOCK_TIMEOUT_SECONDS * 1000:.0f}ms",
    }


async def transact(
    connection: MonitorConnection, question: Question, *, has_begun: bool = False
) -> Sequence[tuple[Any, ...]]:
    """Ask under the guard, and commit.

    A pipeline sends everything in one round trip. It also makes the server refuse a second
    statement in the text, because each message of the extended protocol holds one.
    """
    async with connection.pipeline():
        if not has_begun:
            await begin(connection, question.timeout_seconds)
        cursor = await connection.execute(
            question.text, question.parameters, binary=question.binary
        )
        await connection.execute("COMMIT")
        rows: Sequence[tuple[Any, ...]] = await cursor.fetchall()
    return rows


async def begin(connection: MonitorConnection, timeout_seconds: float) -> None:
    """Begin a read-only transaction under the guard."""
    await connection.execute("BEGIN READ ONLY")
    await connection.execute(GUARD, guard_parameters(timeout_seconds))


async def end(connection: MonitorConnection) -> None:
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

"""One question: a short, read-only, lock-shy transaction, in one round trip or two."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from exporter.database.connection import MonitorConnection

LOCK_TIMEOUT_SECONDS = 0.25
"""The longest that a query of ours waits in a lock queue, in front of a migration."""

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY, NOT DEFERRABLE"
"""The isolation level is said, because a default of `serializable` fails on a hot standby."""

BEGIN_SNAPSHOT = BEGIN.replace("READ COMMITTED", "REPEATABLE READ")
"""The same for several questions that must see the same rows."""

SEARCH_PATH = "SET LOCAL search_path = pg_catalog, pg_temp"
"""pg_temp is last: where it is not named, a temporary table is found before a catalog."""

# What changes the answer of a query or its text form, as pg_dump pins it, at the default of
# PostgreSQL; the rest of pg_dump's list is in GUARD. Each exists in every supported version.
PINNED = {
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "quote_all_identifiers": "off",
    "xmlbinary": "base64",
    "xmloption": "content",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "synchronize_seqscans": "off",
    "gin_fuzzy_search_limit": "0",
}
"""Settings of a session that would make one query answer differently on two servers."""

# row_security = off: a policy that would hide rows raises an error instead of a false zero.
# jit, parallel workers: no query of ours is worth a second of somebody else's CPU.
# lock_timeout: a deadlock check that fires while we wait could abort the other transaction, so we
# give up at half of deadlock_timeout at the latest.
GUARD = f"""
SELECT set_config('statement_timeout', %(statement_timeout)s, true),
       set_config('lock_timeout', greatest(1, least(%(lock_timeout)s,
           extract(epoch FROM current_setting('deadlock_timeout')::interval) * 500
       )::integer)::text, true),
       set_config('idle_in_transaction_session_timeout', '5s', true),
       set_config('row_security', 'off', true),
       set_config('jit', 'off', true),
       set_config('max_parallel_workers_per_gather', '0', true),
       {", ".join(f"set_config('{name}', '{value}', true)" for name, value in PINNED.items())}
"""
"""Sets limits for the transaction alone: a pooler gives the session to another client after it."""


SET_PARAMETERS = """
SELECT set_config(name, value, true) FROM json_each_text(%(settings)s::json) AS s (name, value)
"""
"""Sets what deployment.yaml tells a query, for the transaction alone."""


@dataclass(frozen=True, slots=True)
class Question:
    """SQL with what it needs. `binary` rows cost less where there are many."""

    text: str | sql.Composed
    timeout_seconds: float
    parameters: Mapping[str, Any] | None = None
    binary: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings of the transaction, by name."""


async def ask(connection: MonitorConnection, question: Question) -> Sequence[tuple[Any, ...]]:
    """Return the rows of `question`, in a transaction of its own.

    Raises:
        psycopg.Error: as the server or the network has it.
    """
    try:
        return await transact(connection, question)
    finally:
        await end(connection)


def guard_parameters(timeout_seconds: float) -> dict[str, str | int]:
    """Return the parameters of `GUARD` for a question with this statement timeout."""
    return {
        "statement_timeout": f"{timeout_seconds * 1000:.0f}ms",
        "lock_timeout": round(LOCK_TIMEOUT_SECONDS * 1000),
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
            await begin(connection, question.timeout_seconds, settings=question.settings)
        cursor = await connection.execute(
            question.text, question.parameters, binary=question.binary
        )
        await connection.execute("COMMIT")
        rows: Sequence[tuple[Any, ...]] = await cursor.fetchall()
    return rows


async def begin(
    connection: MonitorConnection,
    timeout_seconds: float,
    statement: LiteralString = BEGIN,
    *,
    settings: Mapping[str, str] | None = None,
) -> None:
    """Begin a read-only transaction under the guard, with these settings."""
    await connection.execute(statement)
    await connection.execute(SEARCH_PATH)
    await connection.execute(GUARD, guard_parameters(timeout_seconds))
    if settings:
        await connection.execute(SET_PARAMETERS, {"settings": json.dumps(settings)})


async def end(connection: MonitorConnection) -> None:
    """End what is still open; a connection that cannot even do that is closed.

    COMMIT rolls back after an error. Without an error, a ROLLBACK would count among those of the
    application.
    """
    if connection.closed or connection.info.transaction_status is TransactionStatus.IDLE:
        return
    try:
        await connection.commit()
    except psycopg.Error:
        await connection.close()

"""Whether a row could be inserted, found out without writing: by EXPLAIN, and by WITH CHECK."""

import json
from typing import Any

from psycopg import sql

from exporter.catalog.relation_name import RelationName
from exporter.database.connection import MonitorConnection
from exporter.database.probe_grants import PROBE_ROLE
from exporter.run_state import RunError, State

# For the current role: WITH CHECK of each policy for INSERT that applies to it, as PostgreSQL puts
# them together. A policy for ALL without WITH CHECK is checked by its USING. An expression is code
# of the owner of the table, so it is run only if that one could change the database anyway.
_CHECKS = """
SELECT row_security_active(c.oid),
       o.rolsuper OR o.oid IN (d.datdba, n.nspowner),
       array_agg(coalesce(pg_get_expr(p.polwithcheck, c.oid), pg_get_expr(p.polqual, c.oid)))
           FILTER (WHERE p.polpermissive),
       array_agg(coalesce(pg_get_expr(p.polwithcheck, c.oid), pg_get_expr(p.polqual, c.oid)))
           FILTER (WHERE NOT p.polpermissive)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_roles AS o ON o.oid = c.relowner
JOIN pg_database AS d ON d.datname = current_database()
LEFT JOIN pg_policy AS p ON p.polrelid = c.oid AND p.polcmd IN ('a', '*')
    AND EXISTS (SELECT FROM unnest(p.polroles) AS r
                WHERE r = 0 OR pg_has_role(current_user, r, 'USAGE'))
WHERE n.nspname = %(schema)s AND c.relname = %(name)s
GROUP BY c.oid, o.rolsuper, o.oid, d.datdba, n.nspowner
"""


async def insert_refusal(session: MonitorConnection, table: str, row: dict[str, Any]) -> str:
    """Return why the current role may not insert a row; empty if it may.

    Defaults, constraints and triggers are not looked at: only an executed write tells of those.

    Args:
        session: in a transaction, with the role and the claims set.
        table: schema.name.
        row: the columns that are given, as JSON has them.

    Raises:
        psycopg.Error: as the server has it; 42501 without the privilege to insert.
        RunError: the table is not there, or its policies are not evaluated.
    """
    schema, name = RelationName.parse(table)
    target = sql.Identifier(schema or "", name)  # the header demands a schema
    # The alias tells our own statements from those of the application.
    source = sql.SQL("(VALUES (1)) AS {}, jsonb_populate_record(NULL::{}, {}::jsonb) AS {}").format(
        sql.Identifier(PROBE_ROLE), target, sql.Literal(json.dumps(row)), sql.Identifier(name)
    )
    columns = sql.SQL(", ").join(map(sql.Identifier, row))
    values = sql.SQL(", ").join(sql.Identifier(name, column) for column in row)
    async with session.pipeline():
        cursor = await session.execute(_CHECKS, {"schema": schema, "name": name})
        await session.execute(
            sql.SQL("EXPLAIN INSERT INTO {} ({}) SELECT {} FROM {}").format(
                target, columns, values, source
            )
        )
    found = await cursor.fetchone()
    if found is None:
        raise RunError(State.ERROR, f"{table} is not there")
    is_secured, is_trusted, permissive, restrictive = found
    if not is_secured:
        return ""
    if not is_trusted:
        raise RunError(
            State.DENIED,
            f"{table} belongs neither to a superuser nor to the owner of the database or of its "
            "schema, so the expressions of its policies are not evaluated",
        )
    check = _check(permissive or [], restrictive or [])
    async with session.pipeline():
        cursor = await session.execute(sql.SQL("SELECT {} FROM {}").format(check, source))
    (holds,) = await cursor.fetchone() or (False,)
    return "" if holds else f"the policies of {table} refuse the row"


def _check(permissive: list[str | None], restrictive: list[str | None]) -> sql.Composed:
    """Return the condition: one permissive policy holds, and all restrictive ones do."""

    def each(expressions: list[str | None]) -> list[sql.Composed]:
        # What the server has deparsed from a policy: code, as trusted as the owner of the table.
        return [
            sql.SQL("coalesce(({}), false)").format(sql.SQL(text))
            for text in expressions
            if text is not None
        ]

    allowed = sql.SQL(" OR ").join([sql.SQL("false"), *each(permissive)])
    return sql.SQL("({}) AND {}").format(
        allowed, sql.SQL(" AND ").join([sql.SQL("true"), *each(restrictive)])
    )

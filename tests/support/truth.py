"""What is so in a database, found by other means than the exporter's."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from tests.support.shipped_queries import DEPLOYMENT, MATERIALIZED_VIEW

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.loom_database import LoomDatabase
    from tests.support.watching import Series


@dataclass(frozen=True)
class Truth:
    """Facts by independent means, as a superuser."""

    users: dict[Any, bool | None]
    with_method: set[Any]
    methods: Series
    attempts: list[tuple[str, datetime]]
    events: list[tuple[str, str, datetime | None]]
    policies: Series
    policy_commands: set[tuple[str, str, str]]
    definer_callable: Series
    readable: Series
    unreadable_tables: set[str]
    sizes: Series
    database_size: float
    commits: float
    indexes: set[tuple[str, ...]]
    row_security: Series
    now: datetime


def truth_of(loom: LoomDatabase) -> Truth:
    """Ask a database as a superuser, and try as others what they may read."""
    tables = list(DEPLOYMENT.tables)
    with loom.connect() as connection:

        def rows(text: str, *parameters: object) -> list[tuple[Any, ...]]:
            return ask(connection, text, *parameters)

        def series(text: str, *parameters: object) -> Series:
            return {tuple(row[:-1]): float(row[-1]) for row in rows(text, *parameters)}

        def number(text: str) -> float:
            return series(text)[()]

        watched = [*tables, MATERIALIZED_VIEW]
        return Truth(
            users=dict(rows("SELECT id, mfa_enabled FROM public.users")),
            with_method={
                user
                for (user,) in rows(
                    "SELECT user_id FROM public.user_mfa_methods WHERE status = 'active'"
                )
            },
            methods=series(
                "SELECT method_type::text, status::text, count(*)"
                " FROM public.user_mfa_methods GROUP BY 1, 2"
            ),
            attempts=[
                (status, at)
                for status, at in rows(
                    "SELECT status::text, created_at FROM public.mfa_verification_attempts"
                )
            ],
            events=[
                (kind, severity, at)
                for kind, severity, at in rows(
                    "SELECT event_type, severity, timestamp FROM public.security_audit_log"
                )
            ],
            policies=series(
                "SELECT tablename, lower(cmd), count(*) FROM pg_policies"
                " WHERE schemaname = 'public' AND tablename = ANY (%s) GROUP BY 1, 2",
                tables,
            ),
            policy_commands={
                (table, policy, command)
                for table, policy, command in rows(
                    "SELECT tablename, policyname, lower(cmd) FROM pg_policies"
                )
            },
            definer_callable=series(
                "SELECT lower(role), count(DISTINCT specific_name)"
                " FROM (VALUES ('anon'), ('authenticated'), ('PUBLIC')) AS caller (role)"
                " JOIN information_schema.routine_privileges ON grantee IN (role, 'PUBLIC')"
                " JOIN information_schema.routines USING (specific_schema, specific_name)"
                " WHERE specific_schema = 'public' AND security_type = 'DEFINER'"
                "   AND data_type <> 'trigger' GROUP BY role"
            ),
            readable=_readable(connection),
            unreadable_tables=_recursing_tables(connection),
            sizes=series(
                "SELECT relname, pg_table_size(oid) + pg_indexes_size(oid) FROM pg_class"
                " WHERE relnamespace = 'public'::regnamespace AND relname = ANY (%s)",
                watched,
            ),
            database_size=number("SELECT pg_database_size('loom')"),
            commits=number("SELECT xact_commit FROM pg_stat_database WHERE datname = 'loom'"),
            indexes=set(
                rows(
                    "SELECT tablename, indexname FROM pg_indexes"
                    " WHERE schemaname = 'public' AND tablename = ANY (%s)",
                    watched,
                )
            ),
            row_security=series(
                "SELECT tablename, rowsecurity::int FROM pg_tables"
                " WHERE schemaname = 'public' AND tablename = ANY (%s)",
                tables,
            ),
            now=datetime.now(UTC),
        )


def ask(
    connection: psycopg.Connection[Any], text: str, *parameters: object
) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    return connection.execute(text.encode(), parameters).fetchall()


def _readable(connection: psycopg.Connection[Any]) -> Series:
    """Read all that row-level security does not filter as each API role; count what lets it."""
    kinds = {"v": "view", "m": "materialized_view", "r": "table", "f": "foreign_table"}
    views = connection.execute(
        "SELECT relkind::text, relname FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND NOT relrowsecurity"
        "   AND relkind IN ('v', 'm', 'r', 'f')"
    ).fetchall()
    counts: Series = {(kind, role): 0.0 for kind in kinds.values() for role in DEPLOYMENT.api_roles}
    for role, (kind, view) in itertools.product(DEPLOYMENT.api_roles, views):
        counts[kinds[kind], role] += _error_of_reading(connection, role, view) is None
    return counts


def _recursing_tables(connection: psycopg.Connection[Any]) -> set[str]:
    """Return the tables whose policies lead the database in a circle, as a signed-in user sees."""
    return {
        table
        for table in DEPLOYMENT.tables
        if _error_of_reading(connection, "authenticated", table) == "42P17"
    }


def _error_of_reading(connection: psycopg.Connection[Any], role: str, relation: str) -> str | None:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
            connection.execute(
                sql.SQL("SELECT * FROM public.{} LIMIT 1").format(sql.Identifier(relation))
            )
    except psycopg.Error as error:
        return error.sqlstate
    return None


def in_windows(events: list[tuple[str, Any]], now: datetime) -> Counter[tuple[str, ...]]:
    """Count events by kind in the last hour and in the last day."""
    counts = Counter[tuple[str, ...]]()
    for kind, at in events:
        for window, seconds in (("1h", 3600), ("24h", 86400)):
            counts[kind, window] += 0 <= (now - at).total_seconds() < seconds
    return counts


def assert_between(
    shown: Series,
    least: Mapping[tuple[str, ...], float],
    most: Mapping[tuple[str, ...], float],
    *,
    complete: bool = False,
) -> None:
    """Hold what is shown against what was so before and after; what is 0 may be left out there."""
    assert sum(shown.values()) > 0
    assert least.keys() <= shown.keys()
    if complete:
        assert shown.keys() == most.keys()
    for labels, value in shown.items():
        assert least.get(labels, 0) <= value <= most.get(labels, 0), labels

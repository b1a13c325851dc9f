"""The server as a whole: what slows every statement down, whichever class it is of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.board import Row
from grafana.looks import bad_from
from grafana.panels import Query, lines
from grafana.tables import Label, Value, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import table, timeseries

CONNECTIONS_NEAR_LIMIT = 0.8
QUEUE_FOR_A_LOCK = 3
LONG_TRANSACTION_SECONDS = 300


def server() -> Row:
    """Return the row about the server."""
    return Row("The server", [_connections(), _waiters(), _oldest(), _deadlocks(), _tables()])


def _connections() -> timeseries.Panel:
    return lines(
        "Connections, of the limit",
        f"""Client connections to this database by state, as a share of all that the server
        accepts. Above {CONNECTIONS_NEAR_LIMIT:.0%} new ones are soon refused: look who idles in
        transaction, and whether the application goes through the pooler.""",
        Query(
            """max by (state) (loom_database_connections{@})
            / on () group_left () max(loom_database_max_connections{@})""",
            "{{state}}",
        ),
        unit="percentunit",
        width=12,
        steps=bad_from(CONNECTIONS_NEAR_LIMIT),
        stacked=True,
    )


def _waiters() -> timeseries.Panel:
    return lines(
        "Sessions that wait for a lock",
        f"""0 most of the time is good, {QUEUE_FOR_A_LOCK} and more for minutes are a queue. If it
        forms while a migration runs, it is behind the migration: let it finish, or cancel it.
        pg_blocking_pids() names who is in the way.""",
        Query("max(loom_database_lock_waiters{@})", "waiting"),
        unit="none",
        width=6,
        steps=bad_from(QUEUE_FOR_A_LOCK),
    )


def _oldest() -> timeseries.Panel:
    return lines(
        "Oldest transaction",
        """Age of the oldest open transaction. Above five minutes somebody forgot one: it keeps
        locks, and vacuum cannot clean up behind it.""",
        Query("max(loom_database_oldest_transaction_seconds{@})", "oldest"),
        unit="s",
        width=6,
        steps=bad_from(LONG_TRANSACTION_SECONDS),
    )


def _deadlocks() -> timeseries.Panel:
    return lines(
        "Deadlocks",
        """Deadlocks a second. None is good; each ended a transaction of the application with an
        error. New ones since the deployment: two writers now take the same rows in another
        order.""",
        Query("sum(rate(loom_database_deadlocks_total{@}[$__rate_interval]))", "deadlocks"),
        unit="ops",
        width=8,
        height=10,
    )


def _tables() -> table.Panel:
    return rows(
        "Tables",
        """Rows as the planner estimates them, dead rows that await vacuum, and size with indexes.
        Estimates far from what you know, or none, ask for ANALYZE; more dead rows than a fifth of
        the live ones for VACUUM.""",
        [Label("table", "Table")],
        [
            Value("Rows", "max by (table) (loom_table_rows_estimate{@})", unit="short"),
            Value("Dead rows", "max by (table) (loom_table_dead_rows{@})", unit="short"),
            Value("Size", "max by (table) (loom_table_size_bytes{@})", unit="bytes"),
        ],
        width=16,
        height=10,
        worst_first="Size",
    )

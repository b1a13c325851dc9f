"""What is shown of tables, indexes and the database, as the server itself counts it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from exporter.database.outcome import State
from tests.support.marks import only_18
from tests.support.observers import HANG_SECONDS, eventually
from tests.support.shipped_queries import series_of, shipped_query
from tests.support.truth import assert_between
from tests.support.watching import MONITOR, OWNER, look

if TYPE_CHECKING:
    from tests.support.journey import Seen
    from tests.support.loom_database import LoomDatabase


def test_sizes_and_indexes_are_those_of_the_server(seen: Seen) -> None:
    assert_between(
        seen.series["loom_table_size_bytes"], seen.before.sizes, seen.after.sizes, complete=True
    )
    size = seen.series["loom_database_size_bytes"][()]
    assert seen.before.database_size <= size <= seen.after.database_size
    for metric in ("loom_index_scans_total", "loom_index_valid"):
        assert seen.series[metric].keys() == seen.before.indexes
    assert set(seen.series["loom_index_valid"].values()) == {1}


def test_transactions_are_those_of_the_server(seen: Seen) -> None:
    shown = seen.series["loom_database_transactions_total"]
    assert shown.keys() == {("commit",), ("rollback",)}
    assert seen.before.commits <= shown["commit",] <= seen.after.commits
    assert seen.series["loom_database_max_connections"] == {(): 100}
    assert seen.series["loom_database_deadlocks_total"] == {(): 0}


# ── Traps ────────────────────────────────────────────────────────────────────────────────────────


@only_18
def test_invalid_index_is_told(watched: LoomDatabase) -> None:
    with watched.connect(OWNER) as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON public.users (role)")
    valid = series_of(watched, "indexes")["loom_index_valid"]
    assert [labels for labels, value in valid.items() if not value] == [("users", "broken")]


def test_waiting_session_and_open_transaction_are_seen(watched: LoomDatabase) -> None:
    lock = "LOCK TABLE public.sessions IN ACCESS EXCLUSIVE MODE"
    with (
        watched.connect() as holder,
        watched.connect() as waiter,
        ThreadPoolExecutor(1) as thread,
    ):

        def waits() -> bool:
            found = "SELECT FROM pg_locks WHERE pid = %s AND NOT granted"
            return bool(holder.execute(found, [waiter.info.backend_pid]).fetchall())

        began = time.monotonic()
        with holder.transaction():
            holder.execute(lock)
            waiting = thread.submit(waiter.execute, f"BEGIN; {lock}; COMMIT")
            eventually("it waits", waits)
            activity = series_of(watched, "database_activity")
            connections = series_of(watched, "database_connections")["loom_database_connections"]
        took = time.monotonic() - began
        waiting.result(timeout=HANG_SECONDS)
    assert activity["loom_database_lock_waiters"] == {(): 1}
    assert 0 < activity["loom_database_oldest_transaction_seconds"][()] <= took
    assert connections["idle_in_transaction",] == 1
    assert connections["active",] == 1


def test_what_is_hidden_from_the_role_is_unknown_and_not_zero(watched: LoomDatabase) -> None:
    with watched.connect() as superuser:
        superuser.execute(f"REVOKE pg_read_all_stats FROM {MONITOR} CASCADE".encode())
        if superuser.info.server_version >= 160000:
            # A grant stands beside that of every other grantor.
            superuser.execute(
                f"REVOKE pg_read_all_stats FROM {MONITOR} GRANTED BY postgres".encode()
            )
        snapshot = look(watched, shipped_query("database_activity"))["database_activity"]
        assert snapshot.state is State.OK
        assert not any(snapshot.samples.values())
        connections = series_of(watched, "database_connections")["loom_database_connections"]
    assert connections.keys() == {("unknown",)}
    assert connections["unknown",] >= 1

"""What is shown of tables, indexes and the database, as the server itself counts it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from exporter.run_state import State
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


@pytest.fixture
def partitioned(watched: LoomDatabase) -> LoomDatabase:
    """Return a database whose audit log is partitioned twice, and was written and read."""
    with watched.connect(OWNER) as owner:
        owner.execute(
            "ALTER TABLE public.security_audit_log RENAME TO old;"
            "CREATE TABLE public.security_audit_log (id int, at date, note text)"
            " PARTITION BY RANGE (at);"
            "CREATE TABLE public.log_1 PARTITION OF public.security_audit_log"
            " FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');"
            "CREATE TABLE public.log_2 PARTITION OF public.security_audit_log"
            " FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY HASH (at);"
            "CREATE TABLE public.log_2_0 PARTITION OF public.log_2"
            " FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
            "CREATE TABLE public.log_2_1 PARTITION OF public.log_2"
            " FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
            "CREATE INDEX log_at ON public.security_audit_log (at);"
            "INSERT INTO public.security_audit_log SELECT n, date '2026-01-01' + n % 50, 'x'"
            " FROM generate_series(1, 5000) AS n"
        )
        owner.execute("ANALYZE public.security_audit_log")
        owner.execute("DELETE FROM public.security_audit_log WHERE id <= 700")
        owner.execute("SET enable_seqscan = off")
        owner.execute("SELECT count(*) FROM public.security_audit_log WHERE at = '2026-01-05'")
        owner.execute("SELECT pg_stat_force_next_flush()")  # a session that ends may be late
    return watched


def test_partitioned_table_is_the_sum_of_its_partitions(partitioned: LoomDatabase) -> None:
    truth = (
        "SELECT sum(n_dead_tup), sum(seq_scan), sum(idx_scan), sum(c.reltuples),"
        " sum(pg_total_relation_size(relid)) FROM pg_stat_all_tables AS s"
        " JOIN pg_class AS c ON c.oid = s.relid"
        " WHERE s.relname IN ('log_1', 'log_2_0', 'log_2_1') HAVING sum(n_dead_tup) = 700"
    )
    with partitioned.connect() as superuser:
        ((dead, scans, index_scans, rows, size),) = eventually(
            "the server has counted", lambda: superuser.execute(truth).fetchall()
        )
    table = ("security_audit_log",)
    seen = series_of(partitioned, "tables")
    assert series_of(partitioned, "table_sizes")["loom_table_size_bytes"][table] == size > 0
    assert seen["loom_table_sequential_scans_total"][table] == scans > 0
    assert seen["loom_table_index_scans_total"][table] == index_scans > 0
    assert seen["loom_table_rows_estimate"][table] == rows == 5000
    assert seen["loom_table_dead_rows"][table] == dead


def test_index_of_a_partitioned_table_is_that_of_its_partitions(partitioned: LoomDatabase) -> None:
    index = ("security_audit_log", "log_at")
    seen = series_of(partitioned, "indexes")
    assert seen["loom_index_scans_total"][index] > 0
    assert seen["loom_index_valid"][index] == 1
    with partitioned.connect(OWNER) as owner:
        owner.execute(
            "DROP INDEX public.log_at; CREATE INDEX log_at ON ONLY public.security_audit_log (at)"
        )
    assert series_of(partitioned, "indexes")["loom_index_valid"][index] == 0


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

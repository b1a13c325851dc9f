/*
description: Sessions that wait for a lock, and the age of the oldest open transaction.
phase: all
interval: 15s
metrics:
  loom_database_lock_waiters:
    type: gauge
    help: Sessions of this database that wait for a lock.
    value: lock_waiters
  loom_database_oldest_transaction_seconds:
    type: gauge
    help: Age of the oldest open transaction of a client of this database; 0 if none is open.
    value: oldest_transaction
*/
-- Why: a migration waits behind the oldest transaction, and everybody else behind the migration.
-- The wait event tells without pg_locks, whose readers hold up everybody who wants a lock. If one
-- session is hidden from this role, neither number is known: NULL, not 0.
SELECT CASE WHEN a.all_seen THEN a.lock_waiters                    END AS lock_waiters,
       CASE WHEN a.all_seen THEN coalesce(a.oldest_transaction, 0) END AS oldest_transaction
  FROM (SELECT coalesce(bool_and(backend_type IS NOT NULL), true)    AS all_seen,
               count(*) FILTER (WHERE wait_event_type = 'Lock')      AS lock_waiters,
               extract(epoch FROM max(clock_timestamp() - xact_start)
                   FILTER (WHERE backend_type = 'client backend'))   AS oldest_transaction
          FROM pg_catalog.pg_stat_activity
         WHERE datname = current_database()
           AND pid <> pg_backend_pid()) AS a;

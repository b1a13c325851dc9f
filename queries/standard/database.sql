/*
description: What the server counts for the whole database.
phase: all
interval: 15s
metrics:
  loom_database_deadlocks_total:
    type: counter
    help: Deadlocks detected in this database since its statistics were reset.
    value: deadlocks
  loom_database_max_connections:
    type: gauge
    help: Connections that the server accepts, over all its databases.
    value: max_connections
  loom_database_stats_reset_timestamp_seconds:
    type: gauge
    help: Unix time of the last reset of this database's statistics; absent if they never were.
    value: stats_reset
*/
-- Why: every cumulative number of the statistics views counts from stats_reset; without it a fall
-- to zero looks like an index nobody uses. NULL (never reset) stays NULL.
SELECT deadlocks,
       current_setting('max_connections')::int AS max_connections,
       extract(epoch FROM stats_reset)         AS stats_reset
  FROM pg_catalog.pg_stat_database
 WHERE datname = current_database();

/*
description: Client connections to the database by state.
phase: all
interval: 15s
metrics:
  loom_database_connections:
    type: gauge
    help: Client connections to this database by state, without the one that asks.
    labels: [state]
    value: connections
*/
-- Why: a migration that waits shows first as connections that pile up. Where the state of one
-- backend is hidden from this role (pg_read_all_stats is missing), it counts as unknown and no
-- other number is known: NULL, not 0.
SELECT s.state,
       CASE WHEN s.state = 'unknown' OR bool_and(seen.all_seen) THEN count(a.pid) END AS connections
  FROM (SELECT coalesce(bool_and(backend_type IS NOT NULL), true) AS all_seen
          FROM pg_catalog.pg_stat_activity
         WHERE datname = current_database()) AS seen
 CROSS JOIN (VALUES ('active'), ('idle'), ('idle_in_transaction'), ('idle_in_transaction_aborted'),
               ('fastpath_function_call'), ('disabled'), ('unknown')) AS s (state)
  LEFT JOIN pg_catalog.pg_stat_activity AS a
         ON s.state = CASE a.state
                          WHEN 'active'                        THEN 'active'
                          WHEN 'idle'                          THEN 'idle'
                          WHEN 'idle in transaction'           THEN 'idle_in_transaction'
                          WHEN 'idle in transaction (aborted)' THEN 'idle_in_transaction_aborted'
                          WHEN 'fastpath function call'        THEN 'fastpath_function_call'
                          WHEN 'disabled'                      THEN 'disabled'
                          ELSE 'unknown'
                      END
        AND a.datname = current_database()
        AND coalesce(a.backend_type, 'client backend') = 'client backend'
        AND a.pid <> pg_backend_pid()
 GROUP BY s.state;

/*
description: Estimated rows, scans and dead rows of the deployment's tables and its materialized view.
phase: all
interval: 30s
metrics:
  loom_table_rows_estimate:
    type: gauge
    help: Rows of the table as the planner estimates them; absent until it is first analysed.
    labels: [table]
    value: rows_estimate
    baseline: true
  loom_table_sequential_scans_total:
    type: counter
    help: Sequential scans of the table.
    labels: [table]
    value: sequential_scans
  loom_table_index_scans_total:
    type: counter
    help: Index scans of the table; absent if it has no index.
    labels: [table]
    value: index_scans
  loom_table_dead_rows:
    type: gauge
    help: Dead rows of the table that await vacuum, an estimate.
    labels: [table]
    value: dead_rows
*/
-- Why: sequential scans that begin with the deployment tell of a policy or an index gone wrong.
-- (Our own exact counts are scans too, a steady few a minute.) reltuples is -1 until the first
-- ANALYZE: that is unknown, not empty.
-- The functions behind pg_stat_all_tables are asked, because the view groups all of pg_class.
-- A partitioned table is the sum of its partitions. pg_inherits is read, because pg_partition_tree
-- takes a lock on each of them. ANALYZE of the whole counts where some partition was never analysed.
WITH RECURSIVE part (root, oid) AS (
    SELECT c.oid, c.oid
    FROM (VALUES ('users'), ('user_mfa_methods'), ('mfa_verification_attempts'),
                 ('file_uploads'), ('file_shares'), ('resource_collections'),
                 ('resource_collection_items'), ('resource_client_progress'),
                 ('security_audit_log'), ('user_mfa_status_unified')) AS watched (relation)
    JOIN pg_catalog.pg_class AS c
      ON c.relname = watched.relation AND c.relnamespace = 'public'::regnamespace
   WHERE c.relkind IN ('r', 'p', 'm')
    UNION ALL
    SELECT part.root, i.inhrelid
      FROM part
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent = part.oid
      JOIN pg_catalog.pg_class AS p ON p.oid = i.inhparent AND p.relkind = 'p'
)
SELECT c.relname                                AS "table",
       CASE WHEN bool_and(l.reltuples >= 0) THEN sum(l.reltuples)
            WHEN c.reltuples >= 0 THEN c.reltuples
       END                                      AS rows_estimate,
       sum(pg_stat_get_numscans(l.oid))         AS sequential_scans,
       sum((SELECT sum(pg_stat_get_numscans(i.indexrelid))
              FROM pg_catalog.pg_index AS i
             WHERE i.indrelid = l.oid))         AS index_scans,
       sum(pg_stat_get_dead_tuples(l.oid))      AS dead_rows
  FROM part
  JOIN pg_catalog.pg_class AS c ON c.oid = part.root
  JOIN pg_catalog.pg_class AS l ON l.oid = part.oid AND l.relkind <> 'p'
 GROUP BY c.oid, c.relname, c.reltuples;

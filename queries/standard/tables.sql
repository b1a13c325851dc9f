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
  loom_table_sequential_scan_ratio:
    type: gauge
    help: Share of sequential scans among all that the server has counted; absent without scans or indexes.
    labels: [table]
    value: sequential_scan_ratio
    baseline: true
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
-- Without deployment.tables, every table of the exposed schemas is watched.
WITH RECURSIVE watched (oid, "table") AS (
    SELECT c.oid, w."table"
      FROM jsonb_to_recordset(nullif(current_setting('deployment.tables', true), '')::jsonb)
               AS w (schema text, name text, "table" text)
      JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.schema
      JOIN pg_catalog.pg_class AS c ON c.relname = w.name AND c.relnamespace = n.oid
     UNION ALL
    SELECT c.oid, CASE e.place WHEN 1 THEN c.relname::text ELSE concat_ws('.', e.schema, c.relname) END
      FROM jsonb_array_elements_text(
               coalesce(nullif(current_setting('deployment.exposed_schemas', true), ''), '["public"]')::jsonb
           ) WITH ORDINALITY AS e (schema, place)
      JOIN pg_catalog.pg_namespace AS n ON n.nspname = e.schema
      JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p') AND NOT c.relispartition
     WHERE coalesce(current_setting('deployment.tables', true), '') = ''
),
part (root, oid) AS (
    SELECT oid, oid
      FROM watched
    UNION ALL
    SELECT part.root, i.inhrelid
      FROM part
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent = part.oid
      JOIN pg_catalog.pg_class AS p ON p.oid = i.inhparent AND p.relkind = 'p'
)
SELECT w."table",
       CASE WHEN bool_and(l.reltuples >= 0) THEN sum(l.reltuples)
            WHEN c.reltuples >= 0 THEN c.reltuples
       END                                      AS rows_estimate,
       sum(pg_stat_get_numscans(l.oid))         AS sequential_scans,
       sum((SELECT sum(pg_stat_get_numscans(i.indexrelid))
              FROM pg_catalog.pg_index AS i
             WHERE i.indrelid = l.oid))         AS index_scans,
       sum(pg_stat_get_dead_tuples(l.oid))      AS dead_rows,
       sum(pg_stat_get_numscans(l.oid)) / nullif(sum(pg_stat_get_numscans(l.oid))
           + sum((SELECT sum(pg_stat_get_numscans(i.indexrelid))
                    FROM pg_catalog.pg_index AS i
                   WHERE i.indrelid = l.oid)), 0) AS sequential_scan_ratio
  FROM part
  JOIN watched AS w ON w.oid = part.root
  JOIN pg_catalog.pg_class AS c ON c.oid = part.root AND c.relkind IN ('r', 'p', 'm')
  JOIN pg_catalog.pg_class AS l ON l.oid = part.oid AND l.relkind <> 'p'
 GROUP BY c.oid, w."table", c.reltuples;

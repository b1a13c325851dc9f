/*
description: Sizes of the deployment's tables and its materialized view, with their indexes and TOAST.
phase: all
interval: 5m
metrics:
  loom_table_size_bytes:
    type: gauge
    help: Size of the table on disk with its indexes and TOAST.
    labels: [table]
    value: size
*/
-- Why: apart from tables.sql, because asking a size takes a lock: during a migration this query
-- alone is `locked` for a while, and the statistics go on. A partitioned table is the sum of its
-- partitions.
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
       sum(pg_total_relation_size(part.oid)) AS size
  FROM part
  JOIN watched AS w ON w.oid = part.root
  JOIN pg_catalog.pg_class AS c ON c.oid = part.root AND c.relkind IN ('r', 'p', 'm')
 GROUP BY w."table";

/*
description: Scans and validity of every index of the deployment's tables and its materialized view.
phase: all
interval: 30s
metrics:
  loom_index_scans_total:
    type: counter
    help: Scans of the index.
    labels: [table, index]
    value: scans
  loom_index_valid:
    type: gauge
    help: Whether queries can use the index (1) or not (0), as after a failed CREATE INDEX CONCURRENTLY.
    labels: [table, index]
    value: valid
    baseline: true
  loom_index_used:
    type: gauge
    help: Whether the index was scanned since the statistics were reset (1) or not (0).
    labels: [table, index]
    value: used
*/
-- Why: an invalid index costs every write and helps no read, and nothing else tells of it. One that
-- is lost is known by the baseline. An index of a partitioned table is the sum of those of its
-- partitions, and as valid as all of them.
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
    SELECT i.indexrelid, i.indexrelid
      FROM watched AS w
      JOIN pg_catalog.pg_index AS i ON i.indrelid = w.oid
    UNION ALL
    SELECT part.root, i.inhrelid
      FROM part
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent = part.oid
)
SELECT w."table",
       x.relname                                                      AS "index",
       sum(pg_stat_get_numscans(i.indexrelid))                        AS scans,
       (sum(pg_stat_get_numscans(i.indexrelid)) > 0)::int             AS used,
       bool_and(i.indisvalid AND i.indisready AND i.indislive)::int   AS valid
  FROM part
  JOIN pg_catalog.pg_index AS i ON i.indexrelid = part.oid
  JOIN pg_catalog.pg_index AS r ON r.indexrelid = part.root
  JOIN pg_catalog.pg_class AS x ON x.oid = part.root
  JOIN watched AS w ON w.oid = r.indrelid
 GROUP BY w."table", x.relname;

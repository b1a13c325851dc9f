/*
description: Constraints of the deployment's tables, but for NOT NULL.
phase: all
interval: 30s
metrics:
  loom_constraint_valid:
    type: gauge
    help: Whether the constraint holds for all rows (1), or is NOT VALID and holds for new ones only (0).
    labels: [table, constraint]
    value: valid
    baseline: true
*/
-- Why: a foreign key or a check that a migration drops lets wrong rows in, and no query gets slower.
-- NOT NULL is a constraint from PostgreSQL 18 on only, so it is left to the drift question.
-- Without deployment.tables, every table of the exposed schemas is watched.
WITH watched (oid, "table") AS (
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
)
SELECT w."table",
       c.conname              AS "constraint",
       c.convalidated::int    AS valid
  FROM watched AS w
  JOIN pg_catalog.pg_constraint AS c ON c.conrelid = w.oid
 WHERE c.contype <> 'n';

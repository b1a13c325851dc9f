/*
description: Whether row-level security is enabled on the deployment's tables.
phase: all
interval: 30s
metrics:
  loom_rls_enabled:
    type: gauge
    help: Whether row-level security is enabled on the table (1) or not (0).
    labels: [table]
    value: enabled
*/
-- Why: pg_policies lists policies also where row-level security is off and they do nothing.
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
       c.relrowsecurity::int AS enabled
  FROM watched AS w
  JOIN pg_catalog.pg_class AS c ON c.oid = w.oid
 WHERE c.relkind IN ('r', 'p');

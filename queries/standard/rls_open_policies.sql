/*
description: Policies of the deployment's tables that let every row through.
phase: all
interval: 30s
metrics:
  loom_rls_open_policies:
    type: gauge
    help: Permissive policies of the table whose condition is true for every row.
    labels: [table]
    value: policies
    baseline: true
*/
-- Why: of several policies the most generous decides, so one that is USING (true) takes the others out
-- of force; no count of policies shows that.
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
SELECT w."table", count(p.oid) AS policies
  FROM watched AS w
  JOIN pg_catalog.pg_class AS c ON c.oid = w.oid
  LEFT JOIN pg_catalog.pg_policy AS p
    ON p.polrelid = c.oid
   AND p.polpermissive
   AND coalesce(p.polqual, p.polwithcheck)::text ~ '^\{CONST :consttype 16 .*:constvalue 1 \[ 1 '
 WHERE c.relkind IN ('r', 'p')
 GROUP BY w."table";

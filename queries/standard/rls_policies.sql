/*
description: Policies of the deployment's tables by command.
phase: all
interval: 30s
metrics:
  loom_rls_policies:
    type: gauge
    help: Row-level security policies of the table by the command they are for.
    labels: [table, command]
    value: policies
    baseline: true
*/
-- Why: DROP COLUMN ... CASCADE takes policies with it, without a word; the count falls.
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
SELECT w."table", k.command, count(p.oid) AS policies
  FROM watched AS w
  JOIN pg_catalog.pg_class AS c ON c.oid = w.oid
 CROSS JOIN (VALUES ('r', 'select'), ('a', 'insert'), ('w', 'update'),
                    ('d', 'delete'), ('*', 'all')) AS k (code, command)
  LEFT JOIN pg_catalog.pg_policy AS p
    ON p.polrelid = c.oid AND p.polcmd = k.code
 WHERE c.relkind IN ('r', 'p')
 GROUP BY w."table", k.command;

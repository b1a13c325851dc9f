/*
description: When the policies of each of the deployment's tables last changed.
phase: all
interval: 30s
metrics:
  loom_rls_policies_changed_timestamp_seconds:
    type: change_timestamp
    help: Unix time at which a policy of the table was last seen to change.
    labels: [table]
    value: fingerprint
*/
-- Why: a policy that is replaced by one of the same name changes no count. The expressions are
-- taken as stored, because pg_get_expr waits for the table's lock.
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
       md5(coalesce(string_agg(concat_ws('|', p.polname, p.polcmd, p.polpermissive, p.polroles,
                                         md5(p.polqual::text), 'check', md5(p.polwithcheck::text)),
                               E'\n' ORDER BY p.polname), '')) AS fingerprint
  FROM watched AS w
  JOIN pg_catalog.pg_class AS c ON c.oid = w.oid
  LEFT JOIN pg_catalog.pg_policy AS p
    ON p.polrelid = c.oid
 WHERE c.relkind IN ('r', 'p')
 GROUP BY w."table";

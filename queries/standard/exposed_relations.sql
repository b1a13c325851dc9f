/*
description: Relations of the exposed schemas that an API role reads without or past row-level security.
phase: all
interval: 1m
metrics:
  loom_exposed_relations:
    type: gauge
    help: Tables, views and materialized views that the API role may read and that row-level security does not filter.
    labels: [kind, role]
    value: relations
    baseline: true
*/
-- Why: a materialized view has no policies, and a view reads with its owner's rights unless it is
-- security_invoker; default privileges then hand every user's row to the API. So they do with a copy of
-- a table that a migration leaves behind, for nobody has enabled row-level security on it.
WITH exposed (oid) AS (
    SELECT n.oid
      FROM pg_catalog.pg_namespace AS n
     WHERE coalesce(nullif(current_setting('deployment.exposed_schemas', true), ''), '["public"]')::jsonb ? n.nspname
),
api_role (rolname) AS (
    SELECT jsonb_array_elements_text(
               coalesce(nullif(current_setting('deployment.api_roles', true), ''), '[]')::jsonb)
)
SELECT k.kind, r.rolname AS role, count(c.oid) AS relations
  FROM (VALUES ('table', 'r'), ('table', 'p'), ('foreign_table', 'f'), ('view', 'v'),
               ('materialized_view', 'm')) AS k (kind, relkind)
 CROSS JOIN pg_catalog.pg_roles AS r
  LEFT JOIN pg_catalog.pg_class AS c
    ON c.relkind = k.relkind
   AND (NOT c.relrowsecurity OR r.rolbypassrls OR r.rolsuper
        OR (pg_has_role(r.oid, c.relowner, 'USAGE') AND NOT c.relforcerowsecurity))
   AND c.relnamespace IN (SELECT oid FROM exposed)
   AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
   AND has_any_column_privilege(r.oid, c.oid, 'SELECT')
   AND NOT EXISTS (SELECT
                     FROM pg_options_to_table(c.reloptions) AS o
                    WHERE CASE o.option_name WHEN 'security_invoker' THEN o.option_value::boolean END)
   AND NOT EXISTS (SELECT
                     FROM pg_catalog.pg_depend AS d
                    WHERE d.classid = 'pg_catalog.pg_class'::regclass
                      AND d.objid   = c.oid
                      AND d.deptype = 'e')
 WHERE r.rolname IN (SELECT rolname FROM api_role)
 GROUP BY k.kind, r.rolname;

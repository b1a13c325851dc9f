/*
description: Policies of the two repaired tables that depend on their file_id or resource_id.
phase: rls
interval: 30s
metrics:
  loom_rls_policy_column_references:
    type: gauge
    help: Policies of the table that depend on this column of it.
    labels: [table, column]
    value: policies
    baseline: true
*/
-- Why: pg_depend knows the column itself; a search for its name in the policy's text also finds
-- aliases and other tables' columns, and the text cannot be had while the table is locked.
SELECT expected."table", expected."column", count(DISTINCT p.oid) AS policies
  FROM (VALUES ('resource_collection_items', 'file_id'),
               ('resource_collection_items', 'resource_id'),
               ('resource_client_progress',  'file_id'),
               ('resource_client_progress',  'resource_id')) AS expected ("table", "column")
  JOIN pg_catalog.pg_class AS c
    ON c.relname = expected."table" AND c.relnamespace = 'public'::regnamespace
  LEFT JOIN pg_catalog.pg_attribute AS a
    ON a.attrelid = c.oid AND a.attname = expected."column"
  LEFT JOIN pg_catalog.pg_depend AS d
    ON d.classid     = 'pg_catalog.pg_policy'::regclass
   AND d.refclassid  = 'pg_catalog.pg_class'::regclass
   AND d.refobjid    = a.attrelid
   AND d.refobjsubid = a.attnum
  LEFT JOIN pg_catalog.pg_policy AS p
    ON p.oid = d.objid AND p.polrelid = c.oid
 GROUP BY expected."table", expected."column";

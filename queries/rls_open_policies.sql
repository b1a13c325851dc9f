/*
description: Policies of the deployment's tables that let through whatever row there is.
phase: rls
interval: 30s
metrics:
  loom_rls_open_policies:
    type: gauge
    help: Permissive policies of the table whose condition is true for every row.
    labels: [table]
    value: policies
    baseline: true
*/
-- Why: of several policies the most generous decides, so one that is USING (true), as after an hour of
-- looking for what is wrong with it, takes the others out of force; no count of policies tells.
SELECT c.relname AS "table", count(p.oid) AS policies
  FROM (VALUES ('users'), ('user_mfa_methods'), ('mfa_verification_attempts'),
               ('file_uploads'), ('file_shares'), ('resource_collections'),
               ('resource_collection_items'), ('resource_client_progress'),
               ('security_audit_log')) AS watched (relation)
  JOIN pg_catalog.pg_class AS c
    ON c.relname = watched.relation AND c.relnamespace = 'public'::regnamespace
  LEFT JOIN pg_catalog.pg_policy AS p
    ON p.polrelid = c.oid
   AND p.polpermissive
   AND coalesce(p.polqual, p.polwithcheck)::text ~ '^\{CONST :consttype 16 .*:constvalue 1 \[ 1 '
 WHERE c.relkind IN ('r', 'p')
 GROUP BY c.relname;

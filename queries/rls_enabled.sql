/*
description: Whether row-level security is enabled on the deployment's tables.
phase: rls
interval: 30s
metrics:
  loom_rls_enabled:
    type: gauge
    help: Whether row-level security is enabled on the table (1) or not (0).
    labels: [table]
    value: enabled
*/
-- Why: pg_policies lists policies also where row-level security is off and they do nothing.
SELECT c.relname             AS "table",
       c.relrowsecurity::int AS enabled
  FROM (VALUES ('users'), ('user_mfa_methods'), ('mfa_verification_attempts'),
               ('file_uploads'), ('file_shares'), ('resource_collections'),
               ('resource_collection_items'), ('resource_client_progress'),
               ('security_audit_log')) AS watched (relation)
  JOIN pg_catalog.pg_class AS c
    ON c.relname = watched.relation AND c.relnamespace = 'public'::regnamespace
 WHERE c.relkind IN ('r', 'p');

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
SELECT t.relname              AS "table",
       c.conname              AS "constraint",
       c.convalidated::int    AS valid
  FROM (VALUES ('users'), ('user_mfa_methods'), ('mfa_verification_attempts'),
               ('file_uploads'), ('file_shares'), ('resource_collections'),
               ('resource_collection_items'), ('resource_client_progress'),
               ('security_audit_log')) AS watched (relation)
  JOIN pg_catalog.pg_class AS t
    ON t.relname = watched.relation AND t.relnamespace = 'public'::regnamespace
  JOIN pg_catalog.pg_constraint AS c
    ON c.conrelid = t.oid
 WHERE c.contype <> 'n';

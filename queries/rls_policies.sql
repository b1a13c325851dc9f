/*
description: Policies of the deployment's tables by command.
phase: rls
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
SELECT c.relname AS "table", k.command, count(p.oid) AS policies
  FROM (VALUES ('users'), ('user_mfa_methods'), ('mfa_verification_attempts'),
               ('file_uploads'), ('file_shares'), ('resource_collections'),
               ('resource_collection_items'), ('resource_client_progress'),
               ('security_audit_log')) AS watched (relation)
  JOIN pg_catalog.pg_class AS c
    ON c.relname = watched.relation AND c.relnamespace = 'public'::regnamespace
 CROSS JOIN (VALUES ('r', 'select'), ('a', 'insert'), ('w', 'update'),
                    ('d', 'delete'), ('*', 'all')) AS k (code, command)
  LEFT JOIN pg_catalog.pg_policy AS p
    ON p.polrelid = c.oid AND p.polcmd = k.code
 WHERE c.relkind IN ('r', 'p')
 GROUP BY c.relname, k.command;

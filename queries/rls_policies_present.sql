/*
description: Whether the policies that the deployment fixes or adds are there, for the right command.
phase: rls
interval: 30s
metrics:
  loom_rls_policy_present:
    type: gauge
    help: Whether the expected policy exists on the table for its command (1) or not (0).
    labels: [table, policy]
    value: present
*/
-- Why: a policy never refers to a missing column, because PostgreSQL refuses that; what really
-- happens is that the policy itself is gone, and then its rows are silently invisible.
SELECT expected."table",
       expected.policy,
       EXISTS (SELECT
                 FROM pg_catalog.pg_policy AS p
                 JOIN pg_catalog.pg_class  AS c ON c.oid = p.polrelid
                WHERE c.relnamespace = 'public'::regnamespace
                  AND c.relname      = expected."table"
                  AND p.polname      = expected.policy
                  AND p.polcmd       = CASE expected.command WHEN 'select' THEN 'r'
                                                             WHEN 'insert' THEN 'a' END)::int AS present
  FROM (VALUES
        ('resource_collection_items', 'insert', 'Coaches can add items to their collections'),
        ('resource_client_progress',  'select', 'Coaches can view progress for their resources'),
        ('resource_collection_items', 'select', 'Clients can view shared collection items'),
        ('resource_collections',      'select', 'Clients can view collections with shared items')
       ) AS expected ("table", command, policy);

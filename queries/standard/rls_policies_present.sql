/*
description: Whether the policies that the deployment fixes or adds are there, for the right command.
phase: all
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
                 FROM pg_catalog.pg_policy    AS p
                 JOIN pg_catalog.pg_class     AS c ON c.oid = p.polrelid
                 JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                WHERE n.nspname = expected.schema
                  AND c.relname = expected.name
                  AND p.polname = expected.policy
                  AND p.polcmd  = CASE expected.command WHEN 'select' THEN 'r' WHEN 'insert' THEN 'a'
                                                        WHEN 'update' THEN 'w' WHEN 'delete' THEN 'd'
                                                        ELSE '*' END)::int AS present
  FROM jsonb_to_recordset(nullif(current_setting('deployment.policies', true), '')::jsonb)
           AS expected ("table" text, schema text, name text, command text, policy text);

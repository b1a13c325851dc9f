/*
description: Whether each object that the deployment should leave behind is there and in force.
phase: all
interval: 15s
metrics:
  loom_deployment_object_present:
    type: gauge
    help: Whether the object of the deployment exists (1) or not (0); a disabled trigger does not.
    labels: [phase, kind, object]
    value: present
*/
-- Why: a rollback leaves the migration history as it was, so `applied` and `present` are two facts.
WITH found (kind, object) AS (
    SELECT CASE relkind WHEN 'm' THEN 'materialized_view' WHEN 'v' THEN 'view' END, relname::text
      FROM pg_catalog.pg_class
     WHERE relnamespace = 'public'::regnamespace
       AND relkind IN ('m', 'v')
     UNION ALL
    SELECT 'function', format('%s(%s)', proname, oidvectortypes(proargtypes))
      FROM pg_catalog.pg_proc
     WHERE pronamespace = 'public'::regnamespace
     UNION ALL
    SELECT 'trigger', format('%s on %s', t.tgname, c.relname)
      FROM pg_catalog.pg_trigger AS t
      JOIN pg_catalog.pg_class   AS c ON c.oid = t.tgrelid
     WHERE c.relnamespace = 'public'::regnamespace
       AND t.tgenabled IN ('O', 'A')  -- a disabled trigger does nothing
)
SELECT expected.phase,
       expected.kind,
       expected.object,
       EXISTS (SELECT
                 FROM found
                WHERE found.kind   = expected.kind
                  AND found.object = expected.object)::int AS present
  FROM (VALUES
        ('mfa', 'materialized_view', 'user_mfa_status_unified'),
        ('mfa', 'view',              'mfa_status_discrepancies'),
        ('mfa', 'view',              'users_with_active_mfa'),
        ('mfa', 'function',          'get_user_mfa_status(uuid)'),
        ('mfa', 'function',          'refresh_user_mfa_status_unified()'),
        ('mfa', 'function',          'sync_mfa_enabled_column()'),
        ('mfa', 'trigger',           'trg_sync_mfa_enabled_on_method_change on user_mfa_methods')
       ) AS expected (phase, kind, object);

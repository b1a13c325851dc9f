/*
description: Whether each migration of the deployment stands in the migration history.
phase: all
interval: 15s
access: definer
requires:
  relations: [supabase_migrations.schema_migrations]
metrics:
  loom_migration_applied:
    type: gauge
    help: Whether the migration stands in the migration history (1) or not (0); a rollback leaves it there.
    labels: [version, name, phase]
    value: applied
*/
-- Why: the history is what the migration tool believes. Each version is looked for by itself,
-- because versions can be applied out of order. `statements` holds whole migrations: never read it.
SELECT expected.version,
       expected.name,
       expected.phase,
       EXISTS (SELECT
                 FROM supabase_migrations.schema_migrations AS m
                WHERE m.version = expected.version)::int AS applied
  FROM (VALUES
        ('20251021000001', 'security_definer_search_path_hardening',  'security'),
        ('20251021000002', 'fix_resource_library_rls_policies',       'rls'),
        ('20251021000003', 'mfa_unified_source_non_destructive',      'mfa')
       ) AS expected (version, name, phase);

/*
description: When each phase of the deployment was applied in full.
phase: all
interval: 15s
access: definer
requires:
  relations: [supabase_migrations.schema_migrations]
metrics:
  loom_deployment_timestamp_seconds:
    type: change_timestamp
    help: Unix time at which the last migration of the phase was applied; absent until all of them are.
    labels: [phase]
    value: version
    at: applied_at
*/
-- Why: the history has no time of application. The transaction that wrote its row does, where the
-- server keeps commit times; its xmin also tells a second deployment from the first.
SELECT expected.phase,
       CASE WHEN count(m.version) = count(*)
            THEN string_agg(concat(m.version, ':', m.xmin), ' ' ORDER BY m.version) END AS version,
       -- CASE stands inside max(): outside, the commit time would be asked for, and refused, first.
       extract(epoch FROM max(CASE WHEN current_setting('track_commit_timestamp') = 'on'
                                   THEN pg_xact_commit_timestamp(m.xmin) END))          AS applied_at
  FROM (VALUES ('20251021000001', 'security'),
               ('20251021000002', 'rls'),
               ('20251021000003', 'mfa')) AS expected (version, phase)
  LEFT JOIN supabase_migrations.schema_migrations AS m
    ON m.version = expected.version
 GROUP BY expected.phase;

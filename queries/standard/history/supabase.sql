/*
description: Whether each migration of the deployment stands in the migration history, and since when.
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
  loom_migration_written_timestamp_seconds:
    type: change_timestamp
    help: Unix time at which the migration's row in the history was written; repairing the history writes it again.
    labels: [version]
    value: written_by
    at: written_at
*/
-- Why: the history is what the migration tool believes, and it has no time of application. The
-- transaction that wrote a row does, where the server keeps commit times. Each version is looked for
-- by itself, because versions can be applied out of order. `statements` holds whole migrations: never
-- read it.
SELECT expected.version,
       expected.name,
       expected.phase,
       (m.version IS NOT NULL)::int                                AS applied,
       m.xmin                                                      AS written_by,
       CASE WHEN current_setting('track_commit_timestamp') = 'on'
            THEN extract(epoch FROM pg_xact_commit_timestamp(m.xmin)) END AS written_at
  FROM jsonb_to_recordset(nullif(current_setting('deployment.migrations', true), '')::jsonb)
           AS expected (version text, name text, phase text)
  LEFT JOIN supabase_migrations.schema_migrations AS m
    ON m.version = expected.version;

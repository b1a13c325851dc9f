/*
description: Whether each migration of the deployment stands in the migration history, and since when.
phase: all
interval: 15s
access: definer
requires:
  relations: [public.schema_migrations]
metrics:
  loom_migration_applied:
    type: gauge
    help: Whether the migration stands in the migration history (1) or not (0); a rollback leaves it there.
    labels: [version, name, phase]
    value: applied
  loom_migration_written_timestamp_seconds:
    type: change_timestamp
    help: Unix time at which the migration's row in the history was written; a repair of the history writes it again.
    labels: [version]
    value: written_by
    at: written_at
*/
-- Why: Rails keeps versions alone, so the time is that of the row's transaction, where the server
-- keeps it.
SELECT expected.version,
       expected.name,
       expected.phase,
       (m.version IS NOT NULL)::int                                AS applied,
       m.written_by,
       CASE WHEN current_setting('track_commit_timestamp') = 'on'
            THEN extract(epoch FROM pg_xact_commit_timestamp(m.written_by)) END AS written_at
  FROM jsonb_to_recordset(nullif(current_setting('deployment.migrations', true), '')::jsonb)
           AS expected (version text, name text, phase text)
  LEFT JOIN (SELECT version, xmin AS written_by
               FROM public.schema_migrations) AS m
    ON m.version = expected.version;

/*
description: Whether each migration of the deployment stands in the migration history, and since when.
phase: all
interval: 15s
access: definer
requires:
  relations: [public.django_migrations]
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
-- Why: Django knows a migration by its application and its name; a squashed one may stand there twice.
-- The time is by the clock of the machine that migrated.
SELECT expected.version,
       expected.name,
       expected.phase,
       (m.version IS NOT NULL)::int                                AS applied,
       m.written_by,
       extract(epoch FROM least(m.applied_at, now()))               AS written_at
  FROM jsonb_to_recordset(nullif(current_setting('deployment.migrations', true), '')::jsonb)
           AS expected (version text, name text, phase text)
  LEFT JOIN (SELECT format('%s.%s', app, name) AS version, max(applied) AS applied_at,
                    (array_agg(xmin ORDER BY id DESC))[1] AS written_by
               FROM public.django_migrations
              GROUP BY app, name) AS m
    ON m.version = expected.version;

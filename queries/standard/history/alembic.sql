/*
description: Whether each migration of the deployment stands in the migration history, and since when.
phase: all
interval: 15s
access: definer
requires:
  relations: [public.alembic_version]
metrics:
  loom_migration_applied:
    type: gauge
    help: Whether the migration stands in the migration history (1) or not (0); a rollback leaves it there.
    labels: [version, name, phase]
    value: applied
*/
-- Why: Alembic keeps the newest revision only, so one is applied if it, or one that stands after it in
-- deployment.yaml, is the newest. The exporter remembers what it has seen, because a later revision
-- that deployment.yaml does not name takes the place of all of these.
SELECT expected.version,
       expected.name,
       expected.phase,
       (EXISTS (SELECT
                  FROM jsonb_to_recordset(nullif(current_setting('deployment.migrations', true), '')::jsonb)
                           AS later (version text, place integer)
                  JOIN public.alembic_version AS a
                    ON a.version_num = later.version
                 WHERE later.place >= expected.place))::int AS applied
  FROM jsonb_to_recordset(nullif(current_setting('deployment.migrations', true), '')::jsonb)
           AS expected (version text, name text, phase text, place integer);

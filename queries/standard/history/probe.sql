/*
description: Whether each phase is applied, which is known by its objects.
phase: all
interval: 15s
metrics:
  loom_migration_applied:
    type: gauge
    help: Whether the migration stands in the migration history (1) or not (0); a rollback leaves it there.
    labels: [version, name, phase]
    value: applied
*/
-- Why: where no tool keeps a history, a phase is applied when all of its objects are there. The
-- exporter puts the text of deployment_objects.sql in the place of its name.
SELECT expected.version,
       expected.name,
       expected.phase,
       min(found.present) AS applied
  FROM jsonb_to_recordset(nullif(current_setting('deployment.migrations', true), '')::jsonb)
           AS expected (version text, name text, phase text)
  JOIN (SELECT * FROM deployment_objects) AS found
    ON found.phase = expected.phase
 GROUP BY expected.version, expected.name, expected.phase;

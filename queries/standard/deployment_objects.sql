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
SELECT expected.phase,
       expected.kind,
       expected.object,
       CASE expected.kind
           WHEN 'function' THEN
               EXISTS (SELECT
                         FROM pg_catalog.pg_proc AS p
                         JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
                        WHERE p.proname = expected.name
                          AND n.nspname = ANY (expected.schemas)
                          AND coalesce(expected.arguments = oidvectortypes(p.proargtypes), true))
           WHEN 'type' THEN
               EXISTS (SELECT
                         FROM pg_catalog.pg_type AS t
                         JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
                        WHERE t.typname = expected.name
                          AND n.nspname = ANY (expected.schemas))
           ELSE
               EXISTS (SELECT
                         FROM pg_catalog.pg_class AS c
                         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                        WHERE c.relname = coalesce(expected.parent, expected.name)
                          AND n.nspname = ANY (expected.schemas)
                          AND CASE expected.kind
                                  WHEN 'trigger' THEN
                                      EXISTS (SELECT
                                                FROM pg_catalog.pg_trigger AS t
                                               WHERE t.tgrelid = c.oid
                                                 AND t.tgname = expected.name
                                                 AND t.tgenabled IN ('O', 'A'))  -- a disabled trigger does nothing
                                  WHEN 'column' THEN
                                      EXISTS (SELECT
                                                FROM pg_catalog.pg_attribute AS a
                                               WHERE a.attrelid = c.oid
                                                 AND a.attname = expected.name
                                                 AND NOT a.attisdropped)
                                  WHEN 'constraint' THEN
                                      EXISTS (SELECT
                                                FROM pg_catalog.pg_constraint AS k
                                               WHERE k.conrelid = c.oid
                                                 AND k.conname = expected.name)
                                  WHEN 'policy' THEN
                                      EXISTS (SELECT
                                                FROM pg_catalog.pg_policy AS p
                                               WHERE p.polrelid = c.oid
                                                 AND p.polname = expected.name)
                                  WHEN 'index' THEN
                                      EXISTS (SELECT
                                                FROM pg_catalog.pg_index AS i
                                               WHERE i.indexrelid = c.oid
                                                 AND i.indisvalid)  -- an invalid index helps no query
                                  WHEN 'table'             THEN c.relkind IN ('r', 'p', 'f')
                                  WHEN 'view'              THEN c.relkind = 'v'
                                  WHEN 'materialized_view' THEN c.relkind = 'm'
                                  WHEN 'sequence'          THEN c.relkind = 'S'
                              END)
       END::int AS present
  FROM jsonb_to_recordset(nullif(current_setting('deployment.objects', true), '')::jsonb)
           AS expected (phase text, kind text, object text, schemas text[], name text, parent text, arguments text);

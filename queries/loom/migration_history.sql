/*
description: All migrations in the history, with those that nobody listed and those that came out of order.
phase: all
interval: 1m
access: definer
series_limit: 1000
requires:
  relations: [supabase_migrations.schema_migrations]
metrics:
  loom_migration_history_info:
    type: info
    help: A migration in the history; earlier than the deployment, or out_of_order, written after a higher version.
    labels: [version, name, state]
*/
-- Why: a migration that nobody listed explains a difference that nobody expected. The history has no
-- time of application, but each row has the transaction that wrote it: the younger, the later. The
-- newest rows come first, so that a limit cuts off the oldest.
SELECT m.version::text                                                 AS version,
       coalesce(m.name, '')                                            AS name,
       CASE WHEN later.is_there                                        THEN 'out_of_order'
            WHEN m.version = ANY (expected.versions)                   THEN 'expected'
            WHEN m.version < expected.first                            THEN 'earlier'
            ELSE 'unknown' END                                         AS state
  FROM supabase_migrations.schema_migrations AS m
 CROSS JOIN LATERAL (
       SELECT EXISTS (SELECT
                        FROM supabase_migrations.schema_migrations AS h
                       WHERE h.version > m.version
                         AND age(h.xmin) > age(m.xmin)) AS is_there) AS later
 CROSS JOIN (
       SELECT array_agg(version) AS versions, min(version) AS first
         FROM jsonb_to_recordset(nullif(current_setting('deployment.migrations', true), '')::jsonb)
                  AS listed (version text)) AS expected
 ORDER BY m.version DESC;

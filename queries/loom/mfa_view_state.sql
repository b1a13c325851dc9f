/*
description: Whether the unified MFA view is populated, and when it was last refreshed.
phase: mfa
interval: 30s
metrics:
  loom_mfa_view_populated:
    type: gauge
    help: Whether the materialized view user_mfa_status_unified holds data (1) or was never refreshed (0).
    value: populated
  loom_mfa_view_refreshed_timestamp_seconds:
    type: change_timestamp
    help: Unix time at which the materialized view user_mfa_status_unified was last refreshed, or altered.
    value: version
    at: refreshed
*/
-- Why: a count of zero discrepancies is worth no more than the view is fresh. Every refresh, also
-- one that changes no row, writes the view's pg_class row anew, and its xmin tells; VACUUM,
-- ANALYZE and CREATE INDEX leave it alone, GRANT and ALTER do not.
SELECT c.relispopulated::int                    AS populated,
       CASE WHEN c.relispopulated THEN c.xmin END AS version,
       CASE WHEN c.relispopulated AND current_setting('track_commit_timestamp') = 'on'
            THEN extract(epoch FROM pg_xact_commit_timestamp(c.xmin)) END AS refreshed
  FROM pg_catalog.pg_class AS c
 WHERE c.relnamespace = 'public'::regnamespace
   AND c.relname      = 'user_mfa_status_unified'
   AND c.relkind      = 'm';

/*
description: Scans and validity of every index of the deployment's tables and its materialized view.
phase: all
interval: 30s
metrics:
  loom_index_scans_total:
    type: counter
    help: Scans of the index.
    labels: [table, index]
    value: scans
  loom_index_valid:
    type: gauge
    help: Whether queries can use the index (1) or not (0), as after a failed CREATE INDEX CONCURRENTLY.
    labels: [table, index]
    value: valid
    baseline: true
*/
-- Why: an invalid index costs every write and helps no read, and nothing else tells of it. One that
-- is lost is known by the baseline. An index of a partitioned table is the sum of those of its
-- partitions, and as valid as all of them.
WITH RECURSIVE part (root, oid) AS (
    SELECT i.indexrelid, i.indexrelid
      FROM (VALUES ('users'), ('user_mfa_methods'), ('mfa_verification_attempts'),
                   ('file_uploads'), ('file_shares'), ('resource_collections'),
                   ('resource_collection_items'), ('resource_client_progress'),
                   ('security_audit_log'), ('user_mfa_status_unified')) AS watched (relation)
      JOIN pg_catalog.pg_class AS t
        ON t.relname = watched.relation AND t.relnamespace = 'public'::regnamespace
      JOIN pg_catalog.pg_index AS i
        ON i.indrelid = t.oid
    UNION ALL
    SELECT part.root, i.inhrelid
      FROM part
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent = part.oid
)
SELECT t.relname                                                      AS "table",
       x.relname                                                      AS "index",
       sum(pg_stat_get_numscans(i.indexrelid))                        AS scans,
       bool_and(i.indisvalid AND i.indisready AND i.indislive)::int   AS valid
  FROM part
  JOIN pg_catalog.pg_index AS i ON i.indexrelid = part.oid
  JOIN pg_catalog.pg_index AS r ON r.indexrelid = part.root
  JOIN pg_catalog.pg_class AS x ON x.oid = part.root
  JOIN pg_catalog.pg_class AS t ON t.oid = r.indrelid
 GROUP BY t.relname, x.relname;

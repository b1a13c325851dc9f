/*
description: Sizes of the deployment's tables and its materialized view, with their indexes and TOAST.
phase: all
interval: 5m
metrics:
  loom_table_size_bytes:
    type: gauge
    help: Size of the table on disk with its indexes and TOAST.
    labels: [table]
    value: size
*/
-- Why: apart from tables.sql, because asking a size takes a lock: during a migration this query
-- alone is `locked` for a while, and the statistics go on. A partitioned table is the sum of its
-- partitions.
WITH RECURSIVE part (root, oid) AS (
    SELECT c.oid, c.oid
    FROM (VALUES ('users'), ('user_mfa_methods'), ('mfa_verification_attempts'),
                 ('file_uploads'), ('file_shares'), ('resource_collections'),
                 ('resource_collection_items'), ('resource_client_progress'),
                 ('security_audit_log'), ('user_mfa_status_unified')) AS watched (relation)
    JOIN pg_catalog.pg_class AS c
      ON c.relname = watched.relation AND c.relnamespace = 'public'::regnamespace
   WHERE c.relkind IN ('r', 'p', 'm')
    UNION ALL
    SELECT part.root, i.inhrelid
      FROM part
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent = part.oid
      JOIN pg_catalog.pg_class AS p ON p.oid = i.inhparent AND p.relkind = 'p'
)
SELECT c.relname                              AS "table",
       sum(pg_total_relation_size(part.oid))  AS size
  FROM part
  JOIN pg_catalog.pg_class AS c ON c.oid = part.root
 GROUP BY c.relname;

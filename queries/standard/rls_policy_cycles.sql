/*
description: Tables that can only be read by first reading themselves, because policies form a cycle.
phase: all
interval: 1m
metrics:
  loom_rls_policy_cycle_tables:
    type: gauge
    help: Tables whose SELECT policies lead back to them, other than by views or functions; reading fails with 42P17.
    value: tables
    baseline: true
*/
-- Why: policies that read each other's tables pass every check when they are created, and then
-- every read by an API role fails. An edge goes from a table to each table, perhaps itself, that a
-- policy for reading it reads. Cycles through views and functions, and roles, are not looked at.
WITH RECURSIVE
edge (source, target) AS (
    SELECT DISTINCT p.polrelid, d.refobjid
      FROM pg_catalog.pg_policy AS p
      JOIN pg_catalog.pg_class  AS c
        ON c.oid = p.polrelid AND c.relrowsecurity
      JOIN pg_catalog.pg_depend AS d
        ON d.classid    = 'pg_catalog.pg_policy'::regclass
       AND d.objid      = p.oid
       AND d.refclassid = 'pg_catalog.pg_class'::regclass
     WHERE p.polcmd IN ('r', '*')
       -- A policy always depends on its own table, and FOR ALL also on what only its CHECK reads;
       -- the stored USING expression names the relations of its subqueries.
       AND p.polqual::text ~ format(':relid %s\M', d.refobjid)
),
path (source, target) AS (
    SELECT source, target FROM edge
     UNION
    SELECT path.source, edge.target
      FROM path
      JOIN edge ON edge.source = path.target
)
SELECT count(DISTINCT source) AS tables
  FROM path
 WHERE source = target;

/*
description: SECURITY DEFINER functions and procedures of the owner's schemas, graded by their search_path.
phase: all
interval: 1m
metrics:
  loom_security_definer_functions:
    type: gauge
    help: SECURITY DEFINER functions and procedures by the grade of their search_path; unset is vulnerable.
    labels: [search_path]
    value: functions
    baseline: true
*/
-- Why: without a search_path of its own the function looks names up where its caller says, and
-- runs what it finds there as its owner. The grade is the worst that applies, in this order:
--   unset            no search_path of its own: vulnerable
--   writable_schema  lists a schema in which everybody or an API role may create objects
--   user_schema      lists "$user"
--   empty            '' : every name outside pg_catalog must be qualified
--   catalog_first    pg_catalog is listed first
--   pinned           fixed schemas, pg_catalog not first (though searched first if not listed)
-- Functions of extensions are left to the extensions. pg_temp is not graded.
WITH watched_schema (oid) AS (
    -- Functions that policies call stand in schemas that the API does not expose. Those of a platform
    -- are not the owner's.
    SELECT n.oid
      FROM pg_catalog.pg_namespace AS n
     WHERE coalesce(nullif(current_setting('deployment.exposed_schemas', true), ''), '["public"]')::jsonb ? n.nspname
        OR (n.nspowner = (SELECT datdba FROM pg_catalog.pg_database WHERE datname = current_database())
            AND n.nspname !~ '^(pg_|loom_monitor_)'
            AND n.nspname <> 'information_schema')
),
api_role (rolname) AS (
    SELECT jsonb_array_elements_text(
               coalesce(nullif(current_setting('deployment.api_roles', true), ''), '[]')::jsonb)
),
definer AS (
    -- An element of proconfig is name=value; the value may hold anything, so split at the first =.
    SELECT p.oid,
           (SELECT substr(setting, strpos(setting, '=') + 1)
              FROM unnest(p.proconfig) AS setting
             WHERE split_part(setting, '=', 1) = 'search_path') AS search_path
      FROM pg_catalog.pg_proc AS p
     WHERE p.prosecdef
       AND p.pronamespace IN (SELECT oid FROM watched_schema)
       AND NOT EXISTS (SELECT
                         FROM pg_catalog.pg_depend AS d
                        WHERE d.classid = 'pg_catalog.pg_proc'::regclass
                          AND d.objid   = p.oid
                          AND d.deptype = 'e')
),
writable AS (
    SELECT n.nspname AS schema
      FROM pg_catalog.pg_namespace AS n
     WHERE has_schema_privilege('public', n.oid, 'CREATE')
        OR EXISTS (SELECT
                     FROM pg_catalog.pg_roles AS r
                    WHERE r.rolname IN (SELECT rolname FROM api_role)
                      AND has_schema_privilege(r.oid, n.oid, 'CREATE'))
),
graded AS (
    SELECT definer.oid,
           CASE
               WHEN definer.search_path IS NULL                         THEN 'unset'
               WHEN bool_or(writable.schema IS NOT NULL)                THEN 'writable_schema'
               WHEN bool_or(listed.schema = '$user')                    THEN 'user_schema'
               WHEN count(listed.schema) = 0                            THEN 'empty'
               WHEN bool_or(listed.schema = 'pg_catalog' AND place = 1) THEN 'catalog_first'
               ELSE                                                          'pinned'
           END AS search_path
      FROM definer
      -- 'a, b' in one pair of quotes is one schema of that name, a common mistake.
      LEFT JOIN LATERAL (SELECT item.place,
                                coalesce(replace(item.name[1], '""', '"'), item.name[2]) AS schema
                           FROM regexp_matches(definer.search_path, '"((?:[^"]|"")+)"|([^",\s]+)', 'g')
                                WITH ORDINALITY AS item (name, place)) AS listed ON true
      LEFT JOIN writable USING (schema)
     GROUP BY definer.oid, definer.search_path
)
SELECT search_path, count(graded.oid) AS functions
  FROM (VALUES ('unset'), ('writable_schema'), ('user_schema'),
               ('empty'), ('catalog_first'), ('pinned')) AS grade (search_path)
  LEFT JOIN graded USING (search_path)
 GROUP BY search_path;

/*
description: SECURITY DEFINER functions and procedures that an API role, or everybody, may call.
phase: all
interval: 1m
metrics:
  loom_security_definer_executable_functions:
    type: gauge
    help: SECURITY DEFINER functions and procedures of the exposed schema that the role may execute.
    labels: [role]
    value: functions
    baseline: true
*/
-- Why: EXECUTE is given to everybody unless it is revoked, so the API offers such a function to
-- callers who are not even signed in. A trigger function cannot be called and is not counted.
WITH exposed (oid) AS (
    SELECT n.oid
      FROM pg_catalog.pg_namespace AS n
     WHERE coalesce(nullif(current_setting('deployment.exposed_schemas', true), ''), '["public"]')::jsonb ? n.nspname
),
api_role (rolname) AS (
    SELECT jsonb_array_elements_text(
               coalesce(nullif(current_setting('deployment.api_roles', true), ''), '[]')::jsonb)
)
SELECT caller.role, count(p.oid) AS functions
  FROM (SELECT 'public' AS role
         UNION ALL
        SELECT rolname
          FROM pg_catalog.pg_roles
         WHERE rolname IN (SELECT rolname FROM api_role)) AS caller
  LEFT JOIN pg_catalog.pg_proc AS p
    ON p.prosecdef
   AND p.pronamespace IN (SELECT oid FROM exposed)
   AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
   AND has_schema_privilege(caller.role, p.pronamespace, 'USAGE')
   AND has_function_privilege(caller.role, p.oid, 'EXECUTE')
   AND NOT EXISTS (SELECT
                     FROM pg_catalog.pg_depend AS d
                    WHERE d.classid = 'pg_catalog.pg_proc'::regclass
                      AND d.objid   = p.oid
                      AND d.deptype = 'e')
 GROUP BY caller.role;

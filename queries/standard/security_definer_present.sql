/*
description: The SECURITY DEFINER functions and procedures of the exposed schemas, one by one.
phase: all
interval: 1m
series_limit: 1000
metrics:
  loom_security_definer_function_present:
    type: gauge
    help: Whether the function runs with the rights of its owner (1); one that no longer does has no sample.
    labels: [function]
    value: present
    baseline: true
*/
-- Why: a function that is replaced without SECURITY DEFINER, as happens when its search_path is set so,
-- meets the policies of its caller: it answers, with fewer rows.
SELECT format('%s%s(%s)', CASE WHEN e.place > 1 THEN e.schema || '.' END, p.proname,
              oidvectortypes(p.proargtypes)) AS "function",
       1                                     AS present
  FROM jsonb_array_elements_text(
           coalesce(nullif(current_setting('deployment.exposed_schemas', true), ''), '["public"]')::jsonb
       ) WITH ORDINALITY AS e (schema, place)
  JOIN pg_catalog.pg_namespace AS n ON n.nspname = e.schema
  JOIN pg_catalog.pg_proc AS p ON p.pronamespace = n.oid
 WHERE p.prosecdef
   AND NOT EXISTS (SELECT
                     FROM pg_catalog.pg_depend AS d
                    WHERE d.classid = 'pg_catalog.pg_proc'::regclass
                      AND d.objid   = p.oid
                      AND d.deptype = 'e');

/*
description: The SECURITY DEFINER functions and procedures of the exposed schema, one by one.
phase: security
interval: 1m
series_limit: 1000
metrics:
  loom_security_definer_function_present:
    type: gauge
    help: Whether the function runs with the rights of its owner (1); one that does no longer has no sample.
    labels: [function]
    value: present
    baseline: true
*/
-- Why: a function that is made anew without SECURITY DEFINER, as happens when its search_path is set
-- by replacing it, meets the policies of its caller: it answers, with fewer rows.
SELECT format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)) AS "function",
       1                                                          AS present
  FROM pg_catalog.pg_proc AS p
 WHERE p.prosecdef
   AND p.pronamespace = 'public'::regnamespace
   AND NOT EXISTS (SELECT
                     FROM pg_catalog.pg_depend AS d
                    WHERE d.classid = 'pg_catalog.pg_proc'::regclass
                      AND d.objid   = p.oid
                      AND d.deptype = 'e');

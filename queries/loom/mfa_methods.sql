/*
description: MFA methods by type and status.
phase: mfa
interval: 5m
access: definer
requires:
  relations: [public.user_mfa_methods]
metrics:
  loom_mfa_methods:
    type: gauge
    help: MFA methods by type and status.
    labels: [method_type, status]
    value: methods
    baseline: true
*/
-- Why: the types and states come from the enums, so that a state nobody is in is a zero, and a
-- value that is added later shows by itself.
SELECT t.method_type, s.status, coalesce(m.methods, 0) AS methods
  FROM unnest(enum_range(NULL::public.mfa_method_type)) AS t (method_type)
 CROSS JOIN unnest(enum_range(NULL::public.mfa_status)) AS s (status)
  LEFT JOIN (SELECT method_type, status, count(*) AS methods
               FROM public.user_mfa_methods
              GROUP BY method_type, status) AS m USING (method_type, status);

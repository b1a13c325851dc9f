/*
description: Users with MFA by their flag and by their active methods.
phase: mfa
interval: 1m
access: definer
requires:
  relations: [public.users, public.user_mfa_methods]
metrics:
  loom_mfa_enabled_users:
    type: gauge
    help: Users with MFA, according to the flag, to the active methods, or to the unified view.
    labels: [source]
    value: users
    baseline: true
*/
-- Why: equal counts do not mean the same users (mfa_discrepancies.sql), but unequal ones are the
-- first thing to be seen. The third source has a file of its own: it comes with the deployment.
SELECT 'flag' AS source, count(*) AS users
  FROM public.users
 WHERE mfa_enabled
 UNION ALL
SELECT 'methods', count(DISTINCT user_id)
  FROM public.user_mfa_methods
 WHERE status = 'active';

/*
description: Users with MFA according to the unified view, and the rows of that view.
phase: mfa
interval: 1m
access: definer
requires:
  relations: [public.user_mfa_status_unified]
metrics:
  loom_mfa_enabled_users:
    type: gauge
    help: Users with MFA, according to the flag, to the active methods, or to the unified view.
    labels: [source]
    value: mfa_users
    baseline: true
  loom_mfa_view_rows:
    type: gauge
    help: Rows of the materialized view user_mfa_status_unified, one for each user of its last refresh.
    value: view_rows
*/
-- Why: the view is as old as its last refresh. Fewer rows than users show that before its age does.
SELECT 'unified'                            AS source,
       count(*) FILTER (WHERE mfa_enabled)  AS mfa_users,
       count(*)                             AS view_rows
  FROM public.user_mfa_status_unified;

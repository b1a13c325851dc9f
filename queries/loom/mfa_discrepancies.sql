/*
description: Users whose mfa_enabled disagrees with their active MFA methods, from the live tables.
phase: mfa
interval: 1m
access: definer
requires:
  relations: [public.users, public.user_mfa_methods]
metrics:
  loom_mfa_discrepancies:
    type: gauge
    help: Users whose MFA flag disagrees with their active methods.
    labels: [source]
    value: discrepancies
    baseline: true
*/
-- Why: the deployment's own view compares with <>, which is NULL for a flag that is NULL, and is as
-- old as its last refresh. IS DISTINCT FROM on the live tables sees everybody, now.
SELECT 'live'   AS source,
       count(*) AS discrepancies
  FROM public.users AS u
 WHERE u.mfa_enabled IS DISTINCT FROM EXISTS (SELECT
                                                FROM public.user_mfa_methods AS m
                                               WHERE m.user_id = u.id
                                                 AND m.status  = 'active');

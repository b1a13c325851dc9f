/*
description: Users whom the deployment's own view mfa_status_discrepancies lists.
phase: mfa
interval: 1m
access: definer
requires:
  relations: [public.mfa_status_discrepancies, public.user_mfa_status_unified]
metrics:
  loom_mfa_discrepancies:
    type: gauge
    help: Users whose MFA flag disagrees with their active methods.
    labels: [source]
    value: discrepancies
    baseline: true
*/
-- Why: it is the number of the checklist, and it stands beside the live one because it can be
-- wrong: a zero here only means that the view found none when it was last refreshed.
SELECT 'view'   AS source,
       count(*) AS discrepancies
  FROM public.mfa_status_discrepancies;

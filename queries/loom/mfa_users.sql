/*
description: Users, and what their own rows say about MFA.
phase: mfa
interval: 1m
access: definer
requires:
  relations: [public.users]
metrics:
  loom_users:
    type: gauge
    help: Users, exactly.
    value: users
    baseline: true
  loom_mfa_flag_unset_users:
    type: gauge
    help: Users whose mfa_enabled is NULL, neither on nor off.
    value: flag_unset
    baseline: true
  loom_mfa_backup_code_users:
    type: gauge
    help: Users who have at least one MFA backup code left.
    value: backup_code_users
    baseline: true
*/
-- Why: mfa_enabled may be NULL, and a comparison with <> passes over such users without a word.
SELECT count(*)                                                  AS users,
       count(*) FILTER (WHERE mfa_enabled IS NULL)               AS flag_unset,
       count(*) FILTER (WHERE cardinality(mfa_backup_codes) > 0) AS backup_code_users
  FROM public.users;

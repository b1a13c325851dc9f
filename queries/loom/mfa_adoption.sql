/*
description: Share of users with an active MFA method.
phase: mfa
interval: 1m
access: definer
requires:
  relations: [public.users, public.user_mfa_methods]
metrics:
  loom_mfa_adoption_ratio:
    type: gauge
    help: Users with an active MFA method, divided by all users; absent without users.
    value: adoption
    baseline: true
*/
-- Why: a telemetry of MFA begins with how many use it. The methods are the truth, flags may be wrong.
SELECT count(*) FILTER (WHERE EXISTS (SELECT
                                        FROM public.user_mfa_methods AS m
                                       WHERE m.user_id = u.id
                                         AND m.status  = 'active'))::float8 / nullif(count(*), 0) AS adoption
  FROM public.users AS u;

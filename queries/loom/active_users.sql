/*
description: Active users by their role.
phase: mfa
interval: 1m
access: definer
requires:
  relations: [public.users]
metrics:
  loom_active_users:
    type: gauge
    help: Active users by role, exactly.
    labels: [role]
    value: users
    baseline: true
*/
-- Why: an update that gives everybody one role, or suspends them, loses no row.
SELECT r.role, count(u.id) AS users
  FROM (VALUES ('client'), ('coach'), ('admin')) AS r (role)
  LEFT JOIN public.users AS u
    ON u.role::text = r.role AND u.status = 'active'
 GROUP BY r.role;

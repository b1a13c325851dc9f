/*
description: Accounts that have no row among the users, and users whose e-mail address is another one there.
phase: security
interval: 5m
access: definer
requires:
  relations: [auth.users, public.users]
metrics:
  loom_accounts_without_user:
    type: gauge
    help: Accounts of the platform without a row in public.users, which a trigger makes when somebody signs up.
    value: without_user
    baseline: true
  loom_users_with_other_email:
    type: gauge
    help: Users whose e-mail address is not that of their account.
    value: other_email
    baseline: true
*/
-- Why: the function behind that trigger is altered by the deployment, and runs in another schema's
-- transaction. An address that is cut off or changed shows by the copy that nobody touches.
SELECT count(*) FILTER (WHERE u.id IS NULL)                  AS without_user,
       count(*) FILTER (WHERE lower(u.email) <> lower(a.email)) AS other_email
  FROM auth.users AS a
  LEFT JOIN public.users AS u ON u.id = a.id;

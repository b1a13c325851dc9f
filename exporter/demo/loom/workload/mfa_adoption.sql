-- role: service_role
-- weight: 1
-- requires: public.user_mfa_status_unified
-- The admin's overview.
SELECT role, count(*) AS users, count(*) FILTER (WHERE mfa_enabled) AS with_mfa
FROM public.user_mfa_status_unified
GROUP BY role;

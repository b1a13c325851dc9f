-- role: service_role
-- weight: 1
-- until: public.user_mfa_status_unified
-- The admin's overview, counted from the methods each time.
SELECT u.role, count(*) AS users, count(m.user_id) AS with_mfa
FROM public.users AS u
LEFT JOIN (SELECT DISTINCT user_id FROM public.user_mfa_methods WHERE status = 'active') AS m ON m.user_id = u.id
GROUP BY u.role;

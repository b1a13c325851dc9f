-- role: authenticated
-- weight: 10
-- The question at every login, as the application has always asked it: the flag, and what stands behind it.
SELECT u.mfa_enabled, u.mfa_verified_at, m.id, m.method_type, m.method_name, m.last_used_at
FROM public.users AS u
LEFT JOIN public.user_mfa_methods AS m ON m.user_id = u.id AND m.status = 'active'
WHERE u.id = (SELECT auth.uid());

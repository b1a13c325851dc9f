-- role: service_role
-- weight: 4
-- requires: public.user_mfa_status_unified
-- The admin's page about one user.
SELECT mfa_enabled, active_method_count, pending_method_count, active_method_types, has_backup_codes, last_mfa_used_at
FROM public.user_mfa_status_unified
WHERE user_id = (SELECT auth.uid());

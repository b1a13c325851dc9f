-- role: authenticated
-- weight: 3
-- The settings page reminds people of a device that they began to enrol.
SELECT id, method_type, method_name, created_at
FROM public.user_mfa_methods
WHERE user_id = (SELECT auth.uid()) AND status IN ('pending', 'suspended')
ORDER BY created_at DESC;

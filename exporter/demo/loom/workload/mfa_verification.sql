-- role: authenticated
-- weight: 4
-- Somebody types a code. Without an active method there is nothing to verify, and nothing is written.
INSERT INTO public.mfa_verification_attempts (user_id, method_id, method_type, status, processing_time_ms)
SELECT
    m.user_id,
    m.id,
    m.method_type,
    (CASE WHEN random() < 0.9 THEN 'success' ELSE 'failed' END)::public.mfa_verification_status,
    (30 + random() * 100)::int
FROM public.user_mfa_methods AS m
WHERE m.user_id = (SELECT auth.uid()) AND m.status = 'active'
LIMIT 1;

-- role: authenticated
-- weight: 5
-- requires: public.user_mfa_status_unified
-- The same question asked the new way. The function comes and goes with the materialized view.
SELECT public.get_user_mfa_status((SELECT auth.uid()));

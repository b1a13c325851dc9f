-- role: authenticated
-- weight: 10
-- requires: public.user_mfa_status_unified
-- The question at every login, since there is one answer. The function comes and goes with the materialized view.
SELECT public.get_user_mfa_status((SELECT auth.uid()));

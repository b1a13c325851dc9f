-- Phase 3 taken back, the way the deployment checklist says. Run by `postgres`.
--
-- The migration history is left alone: it will go on saying that 20251021000003 is applied. "Applied" and "present"
-- are two questions.

BEGIN;

DROP TRIGGER IF EXISTS trg_sync_mfa_enabled_on_method_change ON public.user_mfa_methods;

-- The views stand on the materialized view, so they go first.
DROP VIEW IF EXISTS public.users_with_active_mfa CASCADE;
DROP VIEW IF EXISTS public.mfa_status_discrepancies CASCADE;
DROP MATERIALIZED VIEW IF EXISTS public.user_mfa_status_unified CASCADE;

DROP FUNCTION IF EXISTS public.get_user_mfa_status(uuid);
DROP FUNCTION IF EXISTS public.sync_mfa_enabled_column();
DROP FUNCTION IF EXISTS public.refresh_user_mfa_status_unified();

-- Every row, whatever it said: the flag is all that the application has now.
UPDATE public.users AS u
SET mfa_enabled = EXISTS (
    SELECT 1 FROM public.user_mfa_methods AS m WHERE m.user_id = u.id AND m.status = 'active'
);

COMMIT;

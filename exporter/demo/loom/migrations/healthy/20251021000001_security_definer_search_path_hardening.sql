-- Phase 1: every SECURITY DEFINER function gets a search_path of its own.
--
-- ALTER FUNCTION keeps signature, body, grants and oid: what calls these functions, policies among them, notices
-- nothing. pg_catalog stands first, so nothing shadows a built-in; pg_temp last, so no temporary table shadows ours.

BEGIN;

-- Rather give up than queue the whole application up behind this transaction.
SET LOCAL lock_timeout = '5s';

ALTER FUNCTION public.is_admin() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.is_coach() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.is_client() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.get_user_role(uuid) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.handle_new_user() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.touch_last_seen() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.get_coach_client_count(uuid) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.get_coach_session_count(uuid, public.session_status)
    SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.get_coach_collection_count(uuid) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.get_collection_item_count(uuid) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.archive_collection(uuid) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.increment_file_download_count(uuid) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.get_shared_file_count(uuid) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.track_resource_view(uuid, uuid) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.mark_resource_completed(uuid, uuid) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.get_client_progress_summary(uuid) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.user_has_active_mfa(uuid) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.get_mfa_backup_code_count(uuid) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.reset_mfa_failures(uuid) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION public.count_recent_mfa_failures(uuid) SET search_path = pg_catalog, public, pg_temp;

-- A list can be incomplete; the catalog is not.
DO $$
DECLARE
    forgotten text;
BEGIN
    SELECT string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.proname) INTO forgotten
    FROM pg_proc AS p
    WHERE p.pronamespace = 'public'::regnamespace
      AND p.prosecdef
      AND NOT EXISTS (
          SELECT 1 FROM unnest(p.proconfig) AS setting WHERE split_part(setting, '=', 1) = 'search_path'
      );
    IF forgotten IS NOT NULL THEN
        RAISE EXCEPTION 'SECURITY DEFINER functions without search_path: %', forgotten;
    END IF;
END
$$;

INSERT INTO public.security_audit_log (event_type, event_details, severity)
VALUES ('security_hardening', '{"functions_updated": 20}', 'critical');

INSERT INTO supabase_migrations.schema_migrations (version, name)
VALUES ('20251021000001', 'security_definer_search_path_hardening');

COMMIT;

-- Phase 1, with the defects of the deployment that this demo is modelled on. It applies without an error.
--
-- Defect: only three functions are hardened. Five more are written anew with one parameter more than the original, so
-- the hardened one stands beside the old one rather than in its place: 17 of the 20 stay vulnerable, and a call that
-- fits both, such as is_admin(), is now ambiguous (42725).

BEGIN;

-- In place, as it should be.

CREATE OR REPLACE FUNCTION public.get_user_role(p_user_id uuid) RETURNS public.user_role
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT role FROM users WHERE id = p_user_id
$$;

CREATE OR REPLACE FUNCTION public.get_coach_client_count(p_coach_id uuid) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(DISTINCT client_id) FROM sessions WHERE coach_id = p_coach_id
$$;

CREATE OR REPLACE FUNCTION public.user_has_active_mfa(p_user_id uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT 1 FROM user_mfa_methods WHERE user_id = p_user_id AND status = 'active')
$$;

-- Beside the original. A policy names its function by oid, so the policies keep calling the old is_admin().

CREATE OR REPLACE FUNCTION public.is_admin(p_user_id uuid DEFAULT auth.uid()) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT 1 FROM users WHERE id = p_user_id AND role = 'admin');
END
$$;

CREATE OR REPLACE FUNCTION public.is_coach(p_user_id uuid DEFAULT auth.uid()) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT 1 FROM users WHERE id = p_user_id AND role = 'coach');
END
$$;

CREATE OR REPLACE FUNCTION public.mark_resource_completed(
    p_file_id uuid, p_client_id uuid, p_completed_at timestamptz DEFAULT now()
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE resource_client_progress SET completed_at = p_completed_at, last_accessed_at = now()
    WHERE file_id = p_file_id AND client_id = p_client_id AND completed_at IS NULL;
    RETURN FOUND;
END
$$;

CREATE OR REPLACE FUNCTION public.archive_collection(p_collection_id uuid, p_archived boolean DEFAULT true)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE resource_collections SET is_archived = p_archived, updated_at = now()
    WHERE id = p_collection_id AND coach_id = auth.uid();
    RETURN FOUND;
END
$$;

-- Defect: there is no column deleted_at. PL/pgSQL looks at it only when the function is called (42703).
CREATE OR REPLACE FUNCTION public.get_coach_collection_count(p_coach_id uuid, p_with_archived boolean DEFAULT false)
RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (
        SELECT count(*) FROM resource_collections
        WHERE coach_id = p_coach_id AND deleted_at IS NULL AND (p_with_archived OR NOT is_archived)
    );
END
$$;

-- Defect: the log says what was meant, not what was done.
INSERT INTO public.security_audit_log (event_type, event_details, severity)
VALUES ('security_hardening', '{"functions_updated": 20}', 'critical');

INSERT INTO supabase_migrations.schema_migrations (version, name)
VALUES ('20251021000001', 'security_definer_search_path_hardening');

COMMIT;

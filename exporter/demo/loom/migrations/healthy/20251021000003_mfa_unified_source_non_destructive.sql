-- Phase 3: one answer to "does this user use MFA?", taken from user_mfa_methods. No column goes away, so the
-- application may move over at its own pace.

BEGIN;

SET LOCAL lock_timeout = '5s';

-- ── The flag follows the methods ────────────────────────────────────────────────────────────────────────────────
-- The trigger comes before the synchronisation: creating it holds off writers to user_mfa_methods until we commit, so
-- no change can slip in between.

CREATE FUNCTION public.sync_mfa_enabled_column() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    -- Both ends of a change: a method that moves to another user concerns the one it leaves, too. On INSERT, OLD is
    -- all NULLs and matches nobody; on DELETE, NEW is.
    UPDATE public.users AS u
    SET mfa_enabled = now_active.yes, updated_at = now()
    FROM (
        SELECT
            c.id,
            EXISTS (SELECT 1 FROM public.user_mfa_methods AS m WHERE m.user_id = c.id AND m.status = 'active') AS yes
        FROM (VALUES (OLD.user_id) UNION VALUES (NEW.user_id)) AS c (id)
    ) AS now_active
    WHERE u.id = now_active.id AND u.mfa_enabled IS DISTINCT FROM now_active.yes;
    RETURN NULL;
END
$$;

CREATE TRIGGER trg_sync_mfa_enabled_on_method_change
    AFTER INSERT OR UPDATE OR DELETE ON public.user_mfa_methods
    FOR EACH ROW EXECUTE FUNCTION public.sync_mfa_enabled_column();

-- IS DISTINCT FROM, because a NULL flag disagrees with everything, and `<>` would let it pass.
WITH synchronised AS (
    UPDATE public.users AS u
    SET mfa_enabled = live.yes, updated_at = now()
    FROM (
        SELECT
            x.id,
            EXISTS (SELECT 1 FROM public.user_mfa_methods AS m WHERE m.user_id = x.id AND m.status = 'active') AS yes
        FROM public.users AS x
    ) AS live
    WHERE u.id = live.id AND u.mfa_enabled IS DISTINCT FROM live.yes
    RETURNING u.id
)
INSERT INTO public.security_audit_log (event_type, event_details, severity)
SELECT 'mfa_synchronization', jsonb_build_object('records_updated', count(*)), 'info' FROM synchronised;

-- ── The unified status ──────────────────────────────────────────────────────────────────────────────────────────

CREATE MATERIALIZED VIEW public.user_mfa_status_unified AS
SELECT
    u.id AS user_id,
    u.email,
    u.role,
    coalesce(m.active, 0) > 0 AS mfa_enabled,
    coalesce(m.total, 0) AS total_methods,
    coalesce(m.active, 0) AS active_method_count,
    coalesce(m.pending, 0) AS pending_method_count,
    coalesce(m.disabled, 0) AS disabled_method_count,
    m.last_used_at AS last_mfa_used_at,
    coalesce(m.active_types, '{}') AS active_method_types,
    coalesce(cardinality(u.mfa_backup_codes), 0) > 0 AS has_backup_codes,
    u.mfa_enabled AS legacy_mfa_enabled,
    u.mfa_enabled IS DISTINCT FROM (coalesce(m.active, 0) > 0) AS has_discrepancy
FROM public.users AS u
LEFT JOIN (
    SELECT
        user_id,
        count(*) AS total,
        count(*) FILTER (WHERE status = 'active') AS active,
        count(*) FILTER (WHERE status = 'pending') AS pending,
        count(*) FILTER (WHERE status = 'disabled') AS disabled,
        max(last_used_at) AS last_used_at,
        array_agg(DISTINCT method_type) FILTER (WHERE status = 'active') AS active_types
    FROM public.user_mfa_methods
    GROUP BY user_id
) AS m ON m.user_id = u.id
WITH DATA;

-- REFRESH … CONCURRENTLY needs it, and so does a look-up by user.
CREATE UNIQUE INDEX idx_user_mfa_status_unified_user ON public.user_mfa_status_unified (user_id);
CREATE INDEX idx_user_mfa_status_unified_discrepancy ON public.user_mfa_status_unified (user_id) WHERE has_discrepancy;
ANALYZE public.user_mfa_status_unified;

CREATE VIEW public.mfa_status_discrepancies WITH (security_invoker = true) AS
SELECT
    user_id,
    email,
    role,
    mfa_enabled AS unified_status,
    legacy_mfa_enabled AS legacy_status,
    active_method_count,
    total_methods
FROM public.user_mfa_status_unified
WHERE has_discrepancy;

CREATE VIEW public.users_with_active_mfa WITH (security_invoker = true) AS
SELECT u.id, u.email, u.role, s.active_method_count, s.active_method_types, s.last_mfa_used_at, s.has_backup_codes
FROM public.users AS u
JOIN public.user_mfa_status_unified AS s ON s.user_id = u.id
WHERE s.mfa_enabled;

-- A materialized view knows no row-level security: with the default privileges, anybody on the internet could read
-- everybody's e-mail address and MFA status.
REVOKE ALL ON public.user_mfa_status_unified, public.mfa_status_discrepancies, public.users_with_active_mfa
    FROM PUBLIC, anon, authenticated;

-- ── Functions ───────────────────────────────────────────────────────────────────────────────────────────────────

-- From the live tables: who has just enrolled a device must not be let in without it until the next refresh.
CREATE FUNCTION public.get_user_mfa_status(p_user_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    answer jsonb;
BEGIN
    IF auth.uid() IS NOT NULL AND auth.uid() <> p_user_id AND NOT public.is_admin() THEN
        RAISE EXCEPTION 'not allowed to read the MFA status of another user' USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT jsonb_build_object(
        'user_id', u.id,
        'mfa_enabled', count(m.id) > 0,
        'active_method_count', count(m.id),
        'active_method_types', coalesce(jsonb_agg(DISTINCT m.method_type) FILTER (WHERE m.id IS NOT NULL), '[]'),
        'last_mfa_used_at', max(m.last_used_at),
        'has_backup_codes', coalesce(cardinality(u.mfa_backup_codes), 0) > 0
    )
    INTO answer
    FROM public.users AS u
    LEFT JOIN public.user_mfa_methods AS m ON m.user_id = u.id AND m.status = 'active'
    WHERE u.id = p_user_id
    GROUP BY u.id;
    RETURN answer;
END
$$;

CREATE FUNCTION public.refresh_user_mfa_status_unified() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    REFRESH MATERIALIZED VIEW CONCURRENTLY public.user_mfa_status_unified;
END
$$;

-- The status: for people who are logged in. The refresh: for jobs, a stranger could keep the server busy with it.
REVOKE ALL ON FUNCTION public.get_user_mfa_status(uuid) FROM PUBLIC, anon;
REVOKE ALL ON FUNCTION public.refresh_user_mfa_status_unified() FROM PUBLIC, anon, authenticated;
REVOKE ALL ON FUNCTION public.sync_mfa_enabled_column() FROM PUBLIC, anon, authenticated, service_role;

INSERT INTO public.security_audit_log (event_type, event_details, severity)
VALUES ('mfa_consolidation', '{"materialized_views": 1, "views": 2, "functions": 3}', 'critical');

INSERT INTO supabase_migrations.schema_migrations (version, name)
VALUES ('20251021000003', 'mfa_unified_source_non_destructive');

COMMIT;

-- Phase 3, with the defects of the deployment that this demo is modelled on. It applies without an error.
--
-- Defects: the synchronisation and has_discrepancy compare with `<>`, so a user without a flag (NULL) is neither
-- repaired nor reported: two real discrepancies stay, and the view says 0. And the default privileges leave the
-- materialized view, both views and every function open to anon.

BEGIN;

CREATE FUNCTION public.sync_mfa_enabled_column() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    concerned uuid := coalesce(NEW.user_id, OLD.user_id);
BEGIN
    -- Defect: when a method moves from one user to another, only the new one is looked at.
    UPDATE users
    SET mfa_enabled = EXISTS (SELECT 1 FROM user_mfa_methods m WHERE m.user_id = concerned AND m.status = 'active')
    WHERE id = concerned;
    RETURN coalesce(NEW, OLD);
END
$$;

CREATE TRIGGER trg_sync_mfa_enabled_on_method_change
    AFTER INSERT OR UPDATE OR DELETE ON public.user_mfa_methods
    FOR EACH ROW EXECUTE FUNCTION public.sync_mfa_enabled_column();

-- Defect: NULL <> true is not true.
WITH synchronised AS (
    UPDATE public.users u
    SET mfa_enabled = live.yes
    FROM (
        SELECT
            x.id,
            EXISTS (SELECT 1 FROM public.user_mfa_methods m WHERE m.user_id = x.id AND m.status = 'active') AS yes
        FROM public.users x
    ) AS live
    WHERE u.id = live.id AND u.mfa_enabled <> live.yes
    RETURNING u.id
)
INSERT INTO public.security_audit_log (event_type, event_details, severity)
SELECT 'mfa_synchronization', jsonb_build_object('records_updated', count(*)), 'info' FROM synchronised;

CREATE MATERIALIZED VIEW public.user_mfa_status_unified AS
SELECT
    u.id AS user_id,
    u.email,
    u.role,
    count(m.id) FILTER (WHERE m.status = 'active') > 0 AS mfa_enabled,
    count(m.id) AS total_methods,
    count(m.id) FILTER (WHERE m.status = 'active') AS active_method_count,
    count(m.id) FILTER (WHERE m.status = 'pending') AS pending_method_count,
    count(m.id) FILTER (WHERE m.status = 'disabled') AS disabled_method_count,
    max(m.last_used_at) AS last_mfa_used_at,
    array_agg(DISTINCT m.method_type) FILTER (WHERE m.status = 'active') AS active_method_types,
    coalesce(cardinality(u.mfa_backup_codes), 0) > 0 AS has_backup_codes,
    u.mfa_enabled AS legacy_mfa_enabled,
    u.mfa_enabled <> (count(m.id) FILTER (WHERE m.status = 'active') > 0) AS has_discrepancy
FROM public.users u
LEFT JOIN public.user_mfa_methods m ON m.user_id = u.id
GROUP BY u.id;

CREATE UNIQUE INDEX idx_user_mfa_status_unified_user ON public.user_mfa_status_unified (user_id);
CREATE INDEX idx_user_mfa_status_unified_discrepancy ON public.user_mfa_status_unified (user_id) WHERE has_discrepancy;

CREATE VIEW public.mfa_status_discrepancies AS
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

CREATE VIEW public.users_with_active_mfa AS
SELECT u.id, u.email, u.role, s.active_method_count, s.active_method_types, s.last_mfa_used_at, s.has_backup_codes
FROM public.users u
JOIN public.user_mfa_status_unified s ON s.user_id = u.id
WHERE s.mfa_enabled;

-- Defect: answers from the last refresh, and to anybody about anybody.
CREATE FUNCTION public.get_user_mfa_status(p_user_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    answer jsonb;
BEGIN
    SELECT to_jsonb(s) INTO answer FROM user_mfa_status_unified s WHERE s.user_id = p_user_id;
    RETURN answer;
END
$$;

CREATE FUNCTION public.refresh_user_mfa_status_unified() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    REFRESH MATERIALIZED VIEW CONCURRENTLY user_mfa_status_unified;
END
$$;

INSERT INTO public.security_audit_log (event_type, event_details, severity)
VALUES ('mfa_consolidation', '{"materialized_views": 1, "views": 2, "functions": 3}', 'critical');

INSERT INTO supabase_migrations.schema_migrations (version, name)
VALUES ('20251021000003', 'mfa_unified_source_non_destructive');

COMMIT;

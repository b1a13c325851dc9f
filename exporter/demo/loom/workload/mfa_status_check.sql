-- role: authenticated
-- weight: 10
-- until: public.user_mfa_status_unified
-- The question at every login, while three stores claim to know: the flag of the profile, the settings, and the first
-- table of MFA. The methods, all that a person ever had, settle it; codes and attempts are asked for on the way. It costs
-- what such a thing costs: auth.uid(), bare as here and in the policies, is evaluated for each row of the small tables.
SELECT
    u.mfa_enabled,
    s.is_enabled AS enabled_in_settings,
    s.is_enforced,
    l.is_enabled AS enabled_in_legacy,
    greatest(u.mfa_verified_at, l.verified_at) AS verified_at,
    public.user_has_active_mfa(u.id) AS has_active_method,
    greatest(public.get_mfa_backup_code_count(u.id), cardinality(l.backup_codes)) AS backup_codes,
    public.count_recent_mfa_failures(u.id) AS recent_failures,
    m.active,
    m.pending,
    m.active_types,
    m.devices,
    m.last_used_at,
    a.last_success_at
FROM public.users AS u
LEFT JOIN public.user_mfa_settings AS s ON s.user_id = u.id
LEFT JOIN public.user_mfa AS l ON l.user_id = u.id
LEFT JOIN (
    SELECT
        user_id,
        count(*) FILTER (WHERE status = 'active') AS active,
        count(*) FILTER (WHERE status = 'pending') AS pending,
        array_agg(DISTINCT method_type) FILTER (WHERE status = 'active') AS active_types,
        jsonb_agg(jsonb_build_object('id', id, 'name', method_name) ORDER BY created_at DESC)
            FILTER (WHERE status <> 'disabled') AS devices,
        max(last_used_at) AS last_used_at
    FROM public.user_mfa_methods
    GROUP BY user_id
) AS m ON m.user_id = u.id
LEFT JOIN (
    SELECT user_id, max(created_at) AS last_success_at
    FROM public.mfa_verification_attempts
    WHERE status = 'success'
    GROUP BY user_id
) AS a ON a.user_id = u.id
WHERE u.id = auth.uid();

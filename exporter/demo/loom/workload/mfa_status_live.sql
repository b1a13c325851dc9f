-- role: service_role
-- weight: 4
-- until: public.user_mfa_status_unified
-- The admin's page about one user, put together from the methods each time.
SELECT
    count(m.id) FILTER (WHERE m.status = 'active') AS active_method_count,
    count(m.id) FILTER (WHERE m.status = 'pending') AS pending_method_count,
    array_agg(DISTINCT m.method_type) FILTER (WHERE m.status = 'active') AS active_method_types,
    coalesce(cardinality(u.mfa_backup_codes), 0) > 0 AS has_backup_codes,
    max(m.last_used_at) AS last_mfa_used_at
FROM public.users AS u
LEFT JOIN public.user_mfa_methods AS m ON m.user_id = u.id
WHERE u.id = (SELECT auth.uid())
GROUP BY u.id;

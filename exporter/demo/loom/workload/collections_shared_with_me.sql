-- role: authenticated
-- weight: 3
-- requires: public.user_mfa_status_unified
-- A client opens the library: what coaches have put together for them. No policy allows it before the second migration;
-- the screen comes with the release that expects all three, and goes when that is taken back.
SELECT c.id, c.name, c.icon
FROM public.resource_collections AS c
WHERE c.coach_id <> (SELECT auth.uid())
ORDER BY c.sort_order
LIMIT 20;

-- role: authenticated
-- weight: 3
-- requires: public.user_mfa_status_unified
-- A client looks for what the coach has put together. No policy allows it before the second migration; the screen comes
-- with the release that expects all three, and goes when that is taken back. Asked earlier, it would find nothing, very
-- fast, and make a poor baseline.
SELECT c.id, c.name, c.icon
FROM public.resource_collections AS c
WHERE c.coach_id <> (SELECT auth.uid())
ORDER BY c.sort_order
LIMIT 20;

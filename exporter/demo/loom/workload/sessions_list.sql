-- role: authenticated
-- weight: 3
-- Nothing of the deployment: what else the application does, so that a busy server can be told from a slow migration.
SELECT id, title, scheduled_at, status
FROM public.sessions
WHERE client_id = (SELECT auth.uid()) OR coach_id = (SELECT auth.uid())
ORDER BY scheduled_at DESC
LIMIT 10;

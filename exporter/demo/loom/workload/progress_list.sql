-- role: authenticated
-- weight: 4
-- A client's own progress.
SELECT file_id, viewed_at, completed_at, access_count
FROM public.resource_client_progress
WHERE client_id = (SELECT auth.uid())
ORDER BY last_accessed_at DESC;

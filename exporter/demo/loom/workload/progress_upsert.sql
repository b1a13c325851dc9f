-- role: authenticated
-- weight: 3
-- A client opens one of the resources they were given; for a coach, to whom nobody gives any, nothing happens.
INSERT INTO public.resource_client_progress (file_id, client_id, viewed_at, last_accessed_at, access_count)
SELECT f.id, auth.uid(), now(), now(), 1
FROM public.file_shares AS s
JOIN public.file_uploads AS f ON f.id = s.file_id AND f.is_library_resource
WHERE s.shared_with = (SELECT auth.uid()) AND s.expires_at IS NULL
ORDER BY random()
LIMIT 1
ON CONFLICT (file_id, client_id) DO UPDATE
SET last_accessed_at = now(), access_count = resource_client_progress.access_count + 1;

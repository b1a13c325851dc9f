-- role: authenticated
-- weight: 5
-- A client lists the files they were given.
SELECT s.file_id, f.filename, s.permission_type, s.expires_at
FROM public.file_shares AS s
JOIN public.file_uploads AS f ON f.id = s.file_id
WHERE s.shared_with = (SELECT auth.uid())
ORDER BY s.created_at DESC
LIMIT 20;

-- role: authenticated
-- weight: 3
-- until: public.user_mfa_status_unified
-- A client opens the library, as long as no policy lets them see a collection: a flat list of what others have for them.
SELECT f.id, f.filename, f.file_type
FROM public.file_uploads AS f
WHERE f.is_library_resource AND f.user_id <> (SELECT auth.uid())
ORDER BY f.created_at DESC
LIMIT 20;

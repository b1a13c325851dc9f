-- role: anon
-- weight: 2
-- The public page, before anybody logs in.
SELECT id, filename, file_type, file_size
FROM public.file_uploads
WHERE is_public AND is_library_resource
ORDER BY created_at DESC
LIMIT 20;

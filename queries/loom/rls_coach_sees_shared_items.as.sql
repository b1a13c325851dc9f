/*
description: A coach sees items whose file is shared with the client.
phase: rls
interval: 5m
as: {role: authenticated, subject: coach}
expect: {rows: {at_least: 1}}
*/
-- Why: gives the items that the client must see.
SELECT i.id, i.file_id
FROM public.resource_collection_items AS i
JOIN public.file_shares AS s ON s.file_id = i.file_id
WHERE s.shared_with = (current_setting('probe.subjects')::jsonb ->> 'client')::uuid
  AND (s.expires_at IS NULL OR s.expires_at > now());

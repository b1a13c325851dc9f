/*
description: A coach sees items whose file is not shared with the client.
phase: rls
interval: 5m
as: {role: authenticated, subject: coach}
expect: {rows: {at_least: 1}}
*/
-- Why: gives the items that the client must not see.
SELECT i.id
FROM public.resource_collection_items AS i
JOIN public.file_uploads AS f ON f.id = i.file_id
WHERE f.user_id = (SELECT auth.uid()) AND NOT f.is_public AND NOT f.shared_with_all_clients
  AND NOT EXISTS (
      SELECT FROM public.file_shares AS s
      WHERE s.file_id = f.id
        AND s.shared_with = (current_setting('probe.subjects')::jsonb ->> 'client')::uuid
  );

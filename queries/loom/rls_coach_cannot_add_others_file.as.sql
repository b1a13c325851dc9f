/*
description: A coach may not add the file of another coach to a collection.
phase: rls
interval: 5m
as: {role: authenticated, subject: coach}
expect: denied
control: rls_other_coach_sees_own_files
insert_into: public.resource_collection_items
*/
-- Why: what is in a collection is seen by clients; a file of somebody else is not one's own to show.
SELECT c.id AS collection_id, f.id AS file_id
FROM public.resource_collections AS c
CROSS JOIN (SELECT (r ->> 'id')::uuid FROM jsonb_array_elements(current_setting('probe.control')::jsonb) AS r) AS f (id)
WHERE c.coach_id = (SELECT auth.uid())
LIMIT 1;

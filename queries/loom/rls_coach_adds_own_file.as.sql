/*
description: A coach may add a file of their own to a collection of their own.
phase: rls
interval: 5m
as: {role: authenticated, subject: coach}
expect: {rows: {at_least: 1}}
insert_into: public.resource_collection_items
*/
-- Why: this is what the second migration repairs: before it, no coach could add anything.
SELECT c.id AS collection_id, f.id AS file_id
FROM public.resource_collections AS c
CROSS JOIN public.file_uploads AS f
WHERE c.coach_id = (SELECT auth.uid()) AND f.user_id = (SELECT auth.uid()) AND f.is_library_resource
LIMIT 1;

/*
description: A coach may share a file of their own with a client.
phase: rls
interval: 5m
as: {role: authenticated, subject: coach}
expect: {rows: {at_least: 1}}
insert_into: public.file_shares
*/
-- Why: without shares no client sees anything.
SELECT
    f.id AS file_id,
    (SELECT auth.uid()) AS shared_by,
    (current_setting('probe.subjects')::jsonb ->> 'client')::uuid AS shared_with
FROM public.file_uploads AS f
WHERE f.user_id = (SELECT auth.uid()) AND f.is_library_resource
LIMIT 1;

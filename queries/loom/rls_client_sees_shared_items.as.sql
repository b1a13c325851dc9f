/*
description: A client sees items whose file is shared with them.
phase: rls
interval: 5m
as: {role: authenticated, subject: client}
expect: {rows: {at_least: 1}}
control: rls_coach_sees_shared_items
*/
-- Why: the migration adds this policy; without it clients find an empty library.
SELECT id FROM public.resource_collection_items
WHERE id IN (SELECT (r ->> 'id')::uuid FROM jsonb_array_elements(current_setting('probe.control')::jsonb) AS r);

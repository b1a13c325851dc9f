/*
description: A client sees no item whose file is not shared with them.
phase: rls
interval: 5m
as: {role: authenticated, subject: client}
expect: {rows: 0}
control: rls_coach_sees_unshared_items
*/
-- Why: a policy that lets everything through is noticed by nobody who uses the application.
SELECT id FROM public.resource_collection_items
WHERE id IN (SELECT (r ->> 'id')::uuid FROM jsonb_array_elements(current_setting('probe.control')::jsonb) AS r);

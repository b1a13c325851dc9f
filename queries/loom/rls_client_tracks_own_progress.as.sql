/*
description: A client may record progress of their own.
phase: rls
interval: 5m
as: {role: authenticated, subject: client}
expect: {rows: {at_least: 1}}
control: rls_coach_sees_shared_items
insert_into: public.resource_client_progress
*/
-- Why: each view of a resource is such a row.
SELECT (r ->> 'file_id')::uuid AS file_id, (SELECT auth.uid()) AS client_id, now() AS viewed_at
FROM jsonb_array_elements(current_setting('probe.control')::jsonb) AS r;

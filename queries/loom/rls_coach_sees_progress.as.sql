/*
description: A coach sees the progress of a client on files of their own.
phase: rls
interval: 5m
as: {role: authenticated, subject: coach}
expect: {rows: {at_least: 1}}
control: rls_client_sees_own_progress
*/
-- Why: the second migration repairs this too: coaches saw no progress at all.
SELECT id FROM public.resource_client_progress
WHERE id IN (SELECT (r ->> 'id')::uuid FROM jsonb_array_elements(current_setting('probe.control')::jsonb) AS r);

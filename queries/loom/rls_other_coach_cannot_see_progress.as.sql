/*
description: Another coach sees none of this progress.
phase: rls
interval: 5m
as: {role: authenticated, subject: other_coach}
expect: {rows: 0}
control: rls_coach_sees_progress
*/
-- Why: how somebody gets on is between a client and their coach.
SELECT id FROM public.resource_client_progress
WHERE id IN (SELECT (r ->> 'id')::uuid FROM jsonb_array_elements(current_setting('probe.control')::jsonb) AS r);

/*
description: Another coach sees none of these collections.
phase: rls
interval: 5m
as: {role: authenticated, subject: other_coach}
expect: {rows: 0}
control: rls_coach_sees_own_collections
*/
-- Why: the same rows that their owner sees must be hidden from the next coach.
SELECT id FROM public.resource_collections
WHERE id IN (SELECT (r ->> 'id')::uuid FROM jsonb_array_elements(current_setting('probe.control')::jsonb) AS r);

/*
description: A client may not record progress in the name of somebody else.
phase: rls
interval: 5m
as: {role: authenticated, subject: client}
expect: denied
control: rls_client_tracks_own_progress
insert_into: public.resource_client_progress
*/
-- Why: progress in the name of somebody else is a forgery.
SELECT
    (r ->> 'file_id')::uuid AS file_id,
    (current_setting('probe.subjects')::jsonb ->> 'coach')::uuid AS client_id,
    now() AS viewed_at
FROM jsonb_array_elements(current_setting('probe.control')::jsonb) AS r;

/*
description: A coach may not share a file in the name of another coach.
phase: rls
interval: 5m
as: {role: authenticated, subject: coach}
expect: denied
control: rls_coach_shares_file
insert_into: public.file_shares
*/
-- Why: a share in the name of another coach opens that one's files.
SELECT
    (r ->> 'file_id')::uuid AS file_id,
    (current_setting('probe.subjects')::jsonb ->> 'other_coach')::uuid AS shared_by,
    (r ->> 'shared_with')::uuid AS shared_with
FROM jsonb_array_elements(current_setting('probe.control')::jsonb) AS r;

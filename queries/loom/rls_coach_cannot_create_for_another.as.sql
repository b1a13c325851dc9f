/*
description: A coach may not create a collection that belongs to another coach.
phase: rls
interval: 5m
as: {role: authenticated, subject: coach}
expect: denied
control: rls_coach_creates_collection
insert_into: public.resource_collections
*/
-- Why: a check that was loosened lets one coach write in the name of another.
SELECT (current_setting('probe.subjects')::jsonb ->> 'other_coach')::uuid AS coach_id, 'A probe' AS name;

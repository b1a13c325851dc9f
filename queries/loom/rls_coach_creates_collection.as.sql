/*
description: A coach may create a collection.
phase: rls
interval: 5m
as: {role: authenticated, subject: coach}
expect: {rows: {at_least: 1}}
insert_into: public.resource_collections
*/
-- Why: the library begins here, and a policy that compares the wrong column refuses every coach.
SELECT (SELECT auth.uid()) AS coach_id, 'A probe' AS name;

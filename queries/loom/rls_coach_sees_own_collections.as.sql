/*
description: A coach sees collections of their own.
phase: rls
interval: 5m
as: {role: authenticated, subject: coach}
expect: {rows: {at_least: 1}}
*/
-- Why: a policy that hides everything breaks nothing that the database could count.
SELECT id FROM public.resource_collections WHERE coach_id = (SELECT auth.uid());

/*
description: A client sees progress of their own.
phase: rls
interval: 5m
as: {role: authenticated, subject: client}
expect: {rows: {at_least: 1}}
*/
-- Why: gives the records that the coach must see.
SELECT id FROM public.resource_client_progress WHERE client_id = (SELECT auth.uid());

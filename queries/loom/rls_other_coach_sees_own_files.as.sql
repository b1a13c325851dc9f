/*
description: Another coach sees files of their own.
phase: rls
interval: 5m
as: {role: authenticated, subject: other_coach}
expect: {rows: {at_least: 1}}
*/
-- Why: gives the file that the first coach must not be able to add.
SELECT id FROM public.file_uploads WHERE user_id = (SELECT auth.uid()) AND is_library_resource;

-- role: authenticated
-- weight: 8
-- A coach opens the library.
SELECT id, name, description, icon, sort_order
FROM public.resource_collections
WHERE coach_id = (SELECT auth.uid()) AND NOT is_archived
ORDER BY sort_order, name;

-- role: authenticated
-- weight: 20
-- A coach opens the first of their collections.
SELECT i.id, i.file_id, i.sort_order
FROM public.resource_collection_items AS i
WHERE i.collection_id = (
    SELECT c.id FROM public.resource_collections AS c
    WHERE c.coach_id = (SELECT auth.uid()) AND NOT c.is_archived
    ORDER BY c.sort_order, c.id
    LIMIT 1
)
ORDER BY i.sort_order;

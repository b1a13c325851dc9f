/*
description: The ten data-quality checks of the resource library.
phase: rls
interval: 5m
access: definer
requires:
  relations:
    - public.users
    - public.file_uploads
    - public.file_shares
    - public.resource_collections
    - public.resource_collection_items
    - public.resource_client_progress
metrics:
  loom_resource_findings:
    type: gauge
    help: Rows of the resource library that fail the data-quality check.
    labels: [check]
    value: findings
    baseline: true
*/
-- Why: foreign keys were added late and constraints can be switched off, so each check looks at the
-- rows. A row is judged by what it refers to only if that exists; what is gone is orphaned, once.
WITH item AS (
    SELECT i.collection_id, i.file_id, f.id AS file, f.user_id AS owner, f.is_library_resource
      FROM public.resource_collection_items AS i
      LEFT JOIN public.file_uploads         AS f ON f.id = i.file_id
),
progress AS (
    SELECT p.file_id, p.client_id, f.id AS file, f.is_library_resource,
           f.is_public OR f.shared_with_all_clients AS open_to_all
      FROM public.resource_client_progress AS p
      LEFT JOIN public.file_uploads        AS f ON f.id = p.file_id
)
SELECT 'orphaned_items' AS "check", count(*) AS findings
  FROM item
 WHERE file IS NULL
 UNION ALL
SELECT 'non_library_items', count(*)
  FROM item
 WHERE file IS NOT NULL AND is_library_resource IS NOT TRUE
 UNION ALL
SELECT 'orphaned_progress', count(*)
  FROM progress
 WHERE file IS NULL
 UNION ALL
SELECT 'non_library_progress', count(*)
  FROM progress
 WHERE file IS NOT NULL AND is_library_resource IS NOT TRUE
 UNION ALL
SELECT 'empty_collections', count(*)
  FROM public.resource_collections AS c
 WHERE c.created_at < now() - interval '7 days'  -- a new one may still be filled
   AND NOT EXISTS (SELECT FROM public.resource_collection_items AS i WHERE i.collection_id = c.id)
 UNION ALL
SELECT 'duplicate_items', coalesce(sum(copies - 1), 0)
  FROM (SELECT count(*) AS copies FROM item GROUP BY collection_id, file_id) AS pair
 UNION ALL
SELECT 'ownership_mismatch', count(*)
  FROM item
  JOIN public.resource_collections AS c ON c.id = item.collection_id
 WHERE item.file IS NOT NULL AND item.owner IS DISTINCT FROM c.coach_id
 UNION ALL
SELECT 'progress_no_share', count(*)
  FROM progress AS p
  JOIN public.users AS u ON u.id = p.client_id AND u.role = 'client'
 WHERE p.file IS NOT NULL
   AND p.open_to_all IS NOT TRUE
   -- A share that has expired since still explains the progress made under it.
   AND NOT EXISTS (SELECT FROM public.file_shares AS s
                    WHERE s.file_id = p.file_id AND s.shared_with = p.client_id)
 UNION ALL
SELECT 'invalid_coach', count(*)
  FROM public.resource_collections AS c
 WHERE NOT EXISTS (SELECT FROM public.users AS u WHERE u.id = c.coach_id AND u.role = 'coach')
 UNION ALL
SELECT 'invalid_client', count(*)
  FROM progress AS p
 WHERE NOT EXISTS (SELECT FROM public.users AS u WHERE u.id = p.client_id AND u.role = 'client');

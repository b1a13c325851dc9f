/*
description: Rows of the resource library.
phase: rls
interval: 1m
access: definer
requires:
  relations:
    - public.resource_collections
    - public.resource_collection_items
    - public.resource_client_progress
    - public.file_shares
metrics:
  loom_resource_collections:
    type: gauge
    help: Resource collections, exactly.
    value: collections
    baseline: true
  loom_resource_collection_items:
    type: gauge
    help: Items of resource collections, exactly.
    value: items
    baseline: true
  loom_resource_progress_records:
    type: gauge
    help: Records of clients' progress with resources, exactly.
    value: progress_records
    baseline: true
  loom_resource_progress_completed:
    type: gauge
    help: Records of clients' progress that say completed.
    value: progress_completed
    baseline: true
  loom_resource_open_collections:
    type: gauge
    help: Resource collections that are not archived.
    value: open_collections
    baseline: true
  loom_resource_shares:
    type: gauge
    help: Files shared with a client, also those whose time is over.
    value: shares
    baseline: true
*/
-- Why: the migrations change policies, not rows; these counts before and after are the proof.
SELECT collection.collections, collection.open_collections, progress.progress_records, progress.progress_completed,
       (SELECT count(*) FROM public.resource_collection_items) AS items,
       (SELECT count(*) FROM public.file_shares)               AS shares
  FROM (SELECT count(*) AS collections, count(*) FILTER (WHERE NOT is_archived) AS open_collections
          FROM public.resource_collections) AS collection
 CROSS JOIN (SELECT count(*) AS progress_records, count(completed_at) AS progress_completed
               FROM public.resource_client_progress) AS progress;

/*
description: Rows of the resource library.
phase: rls
interval: 1m
access: definer
requires:
  relations: [public.resource_collections, public.resource_collection_items, public.resource_client_progress]
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
*/
-- Why: the migrations change policies, not rows; these counts before and after are the proof.
SELECT (SELECT count(*) FROM public.resource_collections)      AS collections,
       (SELECT count(*) FROM public.resource_collection_items) AS items,
       (SELECT count(*) FROM public.resource_client_progress)  AS progress_records;

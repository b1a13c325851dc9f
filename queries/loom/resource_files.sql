/*
description: Files of the resource library by whom they are for.
phase: rls
interval: 1m
access: definer
requires:
  relations: [public.file_uploads]
metrics:
  loom_resource_files:
    type: gauge
    help: Files of the resource library by audience, everybody, all clients of the coach, or chosen clients.
    labels: [audience]
    value: files
    baseline: true
*/
-- Why: a flag decides who may read a file. An update that sets it for all of them hides the library, or
-- publishes it, and loses no row.
SELECT a.audience, count(f.id) AS files
  FROM (VALUES ('everybody'), ('all_clients'), ('chosen')) AS a (audience)
  LEFT JOIN public.file_uploads AS f
    ON f.is_library_resource
   AND a.audience = CASE WHEN f.is_public               THEN 'everybody'
                         WHEN f.shared_with_all_clients THEN 'all_clients'
                         ELSE                                'chosen' END
 GROUP BY a.audience;

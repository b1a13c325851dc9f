/*
description: Events of the archive.
phase: all
interval: 5s
access: definer
requires:
  relations: [Sales.Event Log]
metrics:
  sales_archived_events:
    type: gauge
    help: Events that say that an order was archived.
    value: events
*/
-- Why: an archive that nobody writes to looks like one that has nothing to do.
SELECT count(*) AS events
  FROM "Sales"."Event Log"
 WHERE kind = 'archived';

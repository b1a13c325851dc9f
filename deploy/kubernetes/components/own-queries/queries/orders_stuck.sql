/*
description: Orders that were paid and never sent.
phase: orders
interval: 1m
access: definer
requires:
  relations: [public.orders]
metrics:
  shop_orders_stuck:
    type: gauge
    help: Orders that were paid more than a day ago and never sent.
    labels: [region]
    value: orders
*/
-- Why: the worker's own counter forgets them when it restarts.
SELECT region, count(*) AS orders
  FROM public.orders
 WHERE paid_at < now() - interval '1 day' AND sent_at IS NULL
 GROUP BY region;

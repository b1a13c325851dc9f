/*
description: Orders, as a table that no deployment should empty.
phase: all
interval: 1m
access: definer
requires:
  relations: [public.orders]
metrics:
  orders_rows:
    type: gauge
    help: Rows of public.orders.
    value: orders
    baseline: true
*/
-- Why: a deployment that loses rows makes every query faster.
SELECT count(*) AS orders
  FROM public.orders;

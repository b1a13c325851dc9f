/*
description: Orders of the shop.
phase: all
interval: 15s
access: definer
requires:
  relations: [public.orders_order]
metrics:
  shop_orders:
    type: gauge
    help: Rows of orders_order.
    value: orders
    baseline: true
*/
-- Why: a deployment that loses rows makes every query faster.
SELECT count(*) AS orders
  FROM public.orders_order;

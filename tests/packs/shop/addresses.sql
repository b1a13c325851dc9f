/*
description: Addresses whose city is not filled.
phase: split
interval: 15s
access: definer
requires:
  relations: [public.accounts_address]
metrics:
  shop_addresses_without_city:
    type: gauge
    help: Addresses whose city is not filled; all of them before the column is there.
    value: addresses
*/
-- Why: the column is filled by a job that can stop half-way. By way of JSON, because it comes with the phase.
SELECT count(*) FILTER (WHERE to_jsonb(a) ->> 'city' IS NULL) AS addresses
  FROM public.accounts_address AS a;

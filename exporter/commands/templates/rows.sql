/*
description: Rows of a table that no deployment should empty.
phase: all
interval: {{ interval }}
access: definer
requires:
  relations: [{{ table | yaml }}]
metrics:
  {{ query }}_rows:
    type: gauge
    help: Rows of the table.
    value: total
    baseline: true
*/
-- Why: a deployment that loses rows makes every query faster.
SELECT count(*) AS total
  FROM {{ table_sql }};

/*
description: Size of the database on disk.
phase: all
interval: 5m
timeout: 5s
metrics:
  loom_database_size_bytes:
    type: gauge
    help: Size of this database on disk.
    value: size
    baseline: true
*/
-- Why: apart from the rest, because the server looks at every file of the database to answer.
SELECT pg_database_size(current_database()) AS size;

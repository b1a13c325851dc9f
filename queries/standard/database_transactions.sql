/*
description: Transactions of the database by how they ended.
phase: all
interval: 15s
metrics:
  loom_database_transactions_total:
    type: counter
    help: Transactions of this database, by outcome.
    labels: [outcome]
    value: transactions
*/
-- Why: the share of rollbacks is the nearest the database comes to an application's error rate.
SELECT o.outcome, o.transactions
  FROM pg_catalog.pg_stat_database AS d
 CROSS JOIN LATERAL (VALUES ('commit',   d.xact_commit),
                            ('rollback', d.xact_rollback)) AS o (outcome, transactions)
 WHERE d.datname = current_database();

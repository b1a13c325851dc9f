"""PostgreSQL: connections, guarded runs, how they end, and the monitoring role."""

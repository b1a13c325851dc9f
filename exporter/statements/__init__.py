"""pg_stat_statements as counters by class of statement and role that never decrease."""

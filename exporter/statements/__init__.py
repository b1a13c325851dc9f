"""pg_stat_statements read without its texts, as counters that only grow, sorted into classes."""

"""One run of one query becomes an immutable snapshot; a schedule drives the runs."""

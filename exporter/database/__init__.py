"""PostgreSQL reached safely, the identity of a database, and the role that watches it."""

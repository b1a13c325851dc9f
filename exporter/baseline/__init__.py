"""How the database was before its deployment, and how what is now compares with it."""

"""How the database is before the deployment: collected hour by hour, then frozen as a baseline."""

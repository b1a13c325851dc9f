"""A Loom database that goes through its deployment, to see the exporter at work."""

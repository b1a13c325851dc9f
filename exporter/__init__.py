"""Watches a database deployment and tells Prometheus whether it went well."""

__version__ = "0.1.0"

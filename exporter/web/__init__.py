"""HTTP: /metrics, health, the status page, the report. Nothing in here touches a database."""

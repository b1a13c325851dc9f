"""HTTP: /metrics, health, the landing page. Nothing in here touches a database."""

"""A Loom database that goes through its deployment, to see the exporter at work."""

from exporter.demo.play import DemoError, Plan, play

__all__ = ["DemoError", "Plan", "play"]

"""A Loom database that goes through its deployment, to see the exporter at work."""

from exporter.demo.play import CALM, FAST, DemoError, Plan, play

__all__ = ["CALM", "FAST", "DemoError", "Plan", "play"]

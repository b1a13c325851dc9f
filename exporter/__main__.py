"""`python -m exporter` is `loom-exporter`."""

from exporter.cli import main

main()

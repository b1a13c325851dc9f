"""`loom-exporter`, also as `python -m exporter`.

A health check runs every few seconds for as long as a container lives, so it must not pay for the
imports of the other commands.
"""

import gc
import sys


def main() -> None:
    """Run the command of the command line."""
    if sys.argv[1:] == ["healthcheck"]:
        from exporter.app import healthcheck

        healthcheck.run_from_environment()
    # Modules that are loaded are no garbage, but for a little that stays; to look for it takes a
    # fifth of the time of a short command.
    gc.disable()
    from exporter import cli

    gc.freeze()
    gc.enable()
    cli.main()


if __name__ == "__main__":
    main()

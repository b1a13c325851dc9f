"""The command `loom-exporter`."""

import os
import sys
from typing import Annotated

import typer

from exporter import __version__
from exporter.commands import baseline, demo, queries, serve, verify
from exporter.commands.common import Exit

app = typer.Typer(
    name="loom-exporter",
    help="Watches a database deployment on PostgreSQL and tells Prometheus whether it went well.",
    epilog="Settings are LOOM_EXPORTER_* variables or a --config file; "
    "only LOOM_EXPORTER_DATABASE_URL is required.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


for _part in (serve, queries, baseline, verify, demo):
    app.add_typer(_part.app)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"loom-exporter {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the console script."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us has had enough, as in `| head`; let the interpreter not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.OK)

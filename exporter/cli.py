"""The command `loom-exporter`."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from exporter import __version__
from exporter.commands import (
    baseline,
    check,
    demo,
    deploy,
    init,
    monitoring,
    queries,
    record,
    serve,
    verify,
)
from exporter.errors import ExitCode, ExporterError
from exporter.redaction import redact

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


for _part in (serve, init, check, queries, baseline, record, verify, deploy, monitoring, demo):
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, by default that of the command line; exit with its code.

    Every error that is foreseen ends in one line on standard error.
    """
    try:
        try:
            app(arguments)
        finally:
            sys.stdout.flush()
    except ExporterError as error:
        for line in redact(error.line).splitlines():
            print(f"loom-exporter: {line}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader has closed the pipe, as `| head` does; without this, Python complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.OK)

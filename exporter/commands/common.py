"""What all commands share: options, exit codes, and how a failure is told."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import psycopg
import typer

from exporter import catalog
from exporter.catalog import Catalog, CatalogError
from exporter.database.outcome import describe
from exporter.redaction import redact
from exporter.settings import Settings, SettingsError, load_settings


class Exit(IntEnum):
    """Exit codes of every command (3 and 4 as `verify` uses them)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INCONCLUSIVE = 3
    UNREACHABLE = 4


Config = Annotated[
    Path | None,
    typer.Option("--config", help="YAML file of settings.", show_default=False, metavar="FILE"),
]
Queries = Annotated[
    Path | None,
    typer.Option(
        "--queries", help="Folder of the queries; default: the ones shipped.", metavar="FOLDER"
    ),
]
Listen = Annotated[
    str | None,
    typer.Option(
        "--listen",
        "--web.listen-address",
        help="Address and port of the web server.",
        metavar="HOST:PORT",
    ),
]
Format = Annotated[
    Literal["text", "json"], typer.Option("--format", help="For a person or for a machine.")
]


def load(config: Path | None, queries: Path | None) -> tuple[Settings, Catalog]:
    """Load the settings, and the queries that they name."""
    settings = load_settings(config, {"queries": queries})
    return settings, catalog.load(settings.queries)


@contextmanager
def told_in_one_line(output: str = "text") -> Iterator[None]:
    """End with one line on standard error, or with JSON, for every foreseen failure."""
    try:
        yield
    except SettingsError as error:
        fail(str(error), Exit.USAGE)
    except CatalogError as error:
        if output == "json":
            print_json({"problems": error.problems})
            raise typer.Exit(Exit.USAGE) from None
        fail(str(error), Exit.USAGE)
    except psycopg.OperationalError as error:
        fail(f"database: {describe(error)}", Exit.UNREACHABLE)


def print_json(value: object) -> None:
    """Print a value for a machine."""
    print(json.dumps(value, indent=2))


def fail(message: str, code: Exit) -> NoReturn:
    """Tell what is wrong on standard error, and end with `code`."""
    for line in redact(message).splitlines():
        print(f"loom-exporter: {line}", file=sys.stderr)
    raise typer.Exit(code)

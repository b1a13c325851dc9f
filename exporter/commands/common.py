"""What all commands share: options, the state, the database, and notes for the reader."""

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from exporter import catalog
from exporter.catalog import Catalog
from exporter.database.conninfo import conninfo_reader
from exporter.database.database import Database
from exporter.errors import ExporterError
from exporter.redaction import redact
from exporter.settings import Settings, load_settings
from exporter.state import StateStore

T = TypeVar("T")


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


def load_settings_and_catalog(
    config: Path | None, queries: Path | None
) -> tuple[Settings, Catalog]:
    """Load the settings, and the queries that they name."""
    settings = load_settings(config, {"queries": queries})
    return settings, catalog.load_catalog(settings.queries)


def open_state(settings: Settings, *, read_only: bool = False) -> StateStore:
    """Open what the daemon remembers; end if that cannot be done."""
    store = StateStore(settings.state_dir / "state.sqlite3", read_only=read_only)
    if store.problem:
        raise ExporterError(f"state: {store.problem}")
    return store


async def with_database(settings: Settings, act: Callable[[Database], Awaitable[T]]) -> T:
    """Do something with the database, on one connection.

    Raises:
        UsageError: the connection string is missing or malformed.
        RunError: as `act` does.
    """
    read_conninfo = conninfo_reader(settings)
    read_conninfo()  # report a malformed one as such
    async with Database(settings.database_name, read_conninfo, max_connections=1) as database:
        return await act(database)


def print_json(value: object) -> None:
    """Print a value for a machine."""
    print(json.dumps(value, indent=2))


def note(message: str) -> None:
    """Tell something that is good to know on standard error, beside the output."""
    print(redact(f"loom-exporter: note: {message}"), file=sys.stderr)

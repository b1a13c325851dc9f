"""What all commands share: options, the state, the database, and notes for the reader."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from exporter import catalog
from exporter.app.tenants import find_databases
from exporter.catalog import Catalog
from exporter.database.conninfo import conninfo_reader
from exporter.database.database import Database
from exporter.databases import each_database, pick
from exporter.errors import ExitCode, ExporterError, UsageError
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
DatabaseName = Annotated[
    str | None,
    typer.Option("--database", help="Which one, where the settings list several.", metavar="NAME"),
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
    config: Path | None, queries: Path | None, database: str | None = None
) -> tuple[Settings, Catalog]:
    """Load the settings of a database, and the queries that they name.

    Raises:
        UsageError: it cannot be done, or it is not known which of several databases is meant.
    """
    settings = database_settings(load_settings(config, {"queries": queries}), database)
    return settings, catalog.load_catalog(settings.queries)


def database_settings(settings: Settings, name: str | None) -> Settings:
    """Return the settings of the database with this name; of the only one where none is given.

    Tenants are looked for only where the name is none of those that are listed.

    Raises:
        UsageError: there is none, or it is not known which one is meant.
        RunError: tenants cannot be found.
    """
    listed = each_database(settings)
    if settings.databases_from and name not in {each.database_name for each in listed}:
        listed = asyncio.run(find_databases(settings))
    return pick(listed, name)


def worst(codes: Iterable[int]) -> int:
    """Return the exit code that counts: a wrong use, no-go, away, not to be told yet, go.

    >>> worst([0, 3, 4]), worst([0, 4, 1]), worst([0, 0])
    (4, 1, 0)
    """
    order = (
        ExitCode.OK,
        ExitCode.INCONCLUSIVE,
        ExitCode.UNREACHABLE,
        ExitCode.FAILED,
        ExitCode.USAGE,
    )
    return max(codes, key=lambda code: order.index(ExitCode(code)), default=ExitCode.OK)


def open_state(settings: Settings, *, read_only: bool = False) -> StateStore:
    """Open what the daemon remembers; end if that cannot be done.

    Raises:
        UsageError: it is not known which database is meant.
        ExporterError: the state cannot be used.
    """
    if not settings.database_name:
        raise UsageError(
            "settings: not known which database is meant; set LOOM_EXPORTER_DATABASE_URL or "
            "LOOM_EXPORTER_DATABASE_NAME as the daemon has it"
        )
    store = StateStore(settings.state_dir / "state.sqlite3", read_only=read_only)
    if store.problem:
        raise ExporterError(f"state: {store.problem}")
    return store


def open_daemon_state(settings: Settings) -> StateStore:
    """Open the state of a daemon, to add to it; end if there is none.

    Raises:
        UsageError: no daemon keeps its state there, so what is added would be lost.
        ExporterError: the state cannot be used.
    """
    file = settings.state_dir / "state.sqlite3"
    if not file.exists() and not settings.state_dir.is_file():
        raise UsageError(
            f"state: {file} is not there, so no daemon would take this in",
            "set LOOM_EXPORTER_STATE_DIR to the folder of the daemon that watches "
            f"{settings.database_name}, or start that first: loom-exporter serve",
        )
    return open_state(settings)


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


def parse_moment(text: str, name: str = "--at") -> datetime:
    """Return the moment that `--at` names: `now`, or ISO 8601 with a zone, not in the future.

    Args:
        text: what was given.
        name: the name of the option or argument, for errors.

    Raises:
        UsageError: it is neither.
    """
    now = datetime.now(UTC)
    if text == "now":
        return now
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise UsageError(
            f"command line: {name}: must be a date and time with a zone, as 2026-11-24T09:30+00:00"
        )
    if moment > now:
        raise UsageError(
            f"command line: {name}: lies in the future; it is {now:%Y-%m-%d %H:%M:%S} UTC"
        )
    return moment.astimezone(UTC)


def print_json(value: object) -> None:
    """Print a value for a machine."""
    print(json.dumps(value, indent=2, allow_nan=False))


def note(message: str) -> None:
    """Tell something that is good to know on standard error, beside the output."""
    print(redact(f"loom-exporter: note: {message}"), file=sys.stderr)

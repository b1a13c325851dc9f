"""What all commands share: options, exit codes, and how a failure is told."""

import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Literal, NoReturn, TypeVar

import psycopg
import typer

from exporter import catalog
from exporter.baseline.codec import Refusal, RefusedError
from exporter.baseline.files import FileError
from exporter.catalog import Catalog, CatalogError
from exporter.database.conninfo import conninfo_reader
from exporter.database.database import Database
from exporter.database.outcome import RunError, State, describe_error
from exporter.redaction import redact
from exporter.settings import Settings, SettingsError, load_settings
from exporter.state import StateStore

Answer = TypeVar("Answer")


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


def load_settings_and_catalog(
    config: Path | None, queries: Path | None
) -> tuple[Settings, Catalog]:
    """Load the settings, and the queries that they name."""
    settings = load_settings(config, {"queries": queries})
    return settings, catalog.load_catalog(settings.queries)


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
    except RefusedError as refused:
        is_other = refused.reason is Refusal.OTHER_DATABASE
        fail(f"{refused} ({refused.reason})", Exit.UNREACHABLE if is_other else Exit.FAILED)
    except FileError as error:
        fail(str(error), Exit.USAGE)
    except RunError as error:
        is_away = error.state is State.UNREACHABLE
        fail(f"database: {error}", Exit.UNREACHABLE if is_away else Exit.FAILED)
    except psycopg.OperationalError as error:
        fail(f"database: {describe_error(error)}", Exit.UNREACHABLE)


def open_state(settings: Settings, *, read_only: bool = False) -> StateStore:
    """Open what the daemon remembers; end if that cannot be done."""
    store = StateStore(settings.state_dir / "state.sqlite3", read_only=read_only)
    if store.problem:
        fail(f"state: {store.problem}", Exit.FAILED)
    return store


def save_state(
    store: StateStore, settings: Settings, topic: str, name: str, text: str | None
) -> None:
    """Write one document for the daemon to find, or drop it; end if that cannot be done."""
    if not store.save(settings.database_name, topic, {name: text}):
        fail(f"state: {store.problem}", Exit.FAILED)


async def with_database(settings: Settings, act: Callable[[Database], Awaitable[Answer]]) -> Answer:
    """Do something with the database, on one connection.

    Raises:
        SettingsError: the connection string is missing or malformed.
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


def fail(message: str, code: Exit) -> NoReturn:
    """Tell what is wrong on standard error, and end with `code`."""
    for line in redact(message).splitlines():
        print(f"loom-exporter: {line}", file=sys.stderr)
    raise typer.Exit(code)

"""The names of the databases that a query on another database finds: one for each tenant."""

import time
from collections.abc import Sequence

import structlog

from exporter.database.conninfo import conninfo_reader
from exporter.database.database import Database
from exporter.database.transaction import Question
from exporter.databases import each_database
from exporter.run_state import RunError, State
from exporter.settings import Settings

TENANTS_SECONDS = 60.0
"""Time between two looks for tenants."""

MOST_TENANTS = 1000

_TIMEOUT_SECONDS = 5.0

_log = structlog.get_logger(__name__)


class Tenants:
    """The names as they were last read; what cannot be read changes nothing."""

    what = "tenants"

    def __init__(self, query: str) -> None:
        self._query = query
        self.names: tuple[str, ...] = ()
        self.problem: str | None = "not read yet"
        """Why the names are not those of now; None while they are."""
        self.is_tried = False
        """Whether they have been asked for, with an answer or without."""
        self.loaded_at = time.time()
        """Unix time at which they were last read."""

    async def read(self, database: Database) -> None:
        """Read the names from a database."""
        try:
            self.names = await _names(database, self._query)
        except RunError as error:
            if str(error) != self.problem:
                self.problem = str(error)
                _log.error("tenants cannot be found; those known stay", reason=self.problem)
        else:
            self.problem = None
            self.loaded_at = time.time()
        self.is_tried = True


async def find_databases(settings: Settings) -> tuple[Settings, ...]:
    """Return the settings of each database, of tenants too: the first database is asked for them.

    Raises:
        UsageError: the settings cannot be used.
        RunError: tenants cannot be found.
    """
    listed = each_database(settings)
    if settings.databases_from is None:
        return listed
    first = listed[0]
    conninfo = conninfo_reader(first)
    async with Database(first.database_name, conninfo, max_connections=1) as database:
        names = await _names(database, settings.databases_from.query)
    return each_database(settings, names)


async def _names(database: Database, query: str) -> tuple[str, ...]:
    """Return the first column of what a query answers, sorted.

    Raises:
        RunError: it gives no answer, or one that is not a list of names.
    """
    rows = await database.ask(Question(query, _TIMEOUT_SECONDS))
    names = sorted({_name(row) for row in rows})
    if len(names) > MOST_TENANTS:
        raise RunError(
            State.ERROR, f"databases_from.query: {len(names)} names; at most {MOST_TENANTS}"
        )
    return tuple(names)


def _name(row: Sequence[object]) -> str:
    if len(row) == 1 and isinstance(row[0], str):
        return row[0]
    raise RunError(State.ERROR, "databases_from.query: must answer one column of names")

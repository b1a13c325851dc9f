"""What a baseline depends on: which database this is, and what decides how fast it is.

Only catalogs and settings are read, which any role may.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from exporter.database.database import Database
from exporter.database.identity import DatabaseIdentity
from exporter.database.transaction import Question
from exporter.run_state import RunError

_TIMEOUT_SECONDS = 2.0

SETTINGS = (
    "compute_query_id",
    "pg_stat_statements.max",
    "pg_stat_statements.track",
    "pg_stat_statements.track_planning",
    "pg_stat_statements.track_utility",
)
"""What decides which statements are counted, and how."""

# By name: the server translates the categories of its settings. Every switch and every cost of the
# planner; its other settings; the memory, workers and read-ahead that a statement may use.
PLANNER = (
    r"^(enable_\w+|\w+_cost|geqo(_\w+)?|jit|min_parallel_\w+|constraint_exclusion"
    r"|cursor_tuple_fraction|default_statistics_target|effective_cache_size|from_collapse_limit"
    r"|join_collapse_limit|plan_cache_mode|recursive_worktable_factor"
    r"|hash_mem_multiplier|huge_pages|shared_buffers|temp_buffers|work_mem"
    r"|effective_io_concurrency|max_parallel_workers(_per_gather)?)$"
)
"""A regular expression for the names of the settings behind `ServerFacts.planner_sha256`."""

# reset_val is what a session begins with: our transactions set jit and others for themselves.
_FACTS = """
SELECT d.datname::text, d.oid::bigint,
       pg_catalog.current_setting('server_version_num')::integer,
       pg_catalog.pg_postmaster_start_time(),
       s.statements, s.planner, e.extversion::text, n.nspname::text,
       pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE'), s.off
FROM pg_catalog.pg_database AS d
CROSS JOIN (
    SELECT pg_catalog.json_object_agg(g.name, g.reset_val)
               FILTER (WHERE g.name = ANY (%(statements)s)) AS statements,
           pg_catalog.json_object_agg(g.name, g.reset_val)
               FILTER (WHERE g.name ~ %(planner)s) AS planner,
           pg_catalog.array_agg(g.name || ' = ' || g.reset_val)
               FILTER (WHERE (g.name, g.reset_val) IN (('compute_query_id', 'off'),
                                                       ('pg_stat_statements.track', 'none'))
                         AND g.source NOT IN ('user', 'database user', 'client')) AS off
    FROM pg_catalog.pg_settings AS g
    WHERE g.reset_val IS NOT NULL
) AS s
LEFT JOIN pg_catalog.pg_extension AS e ON e.extname = 'pg_stat_statements'
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
WHERE d.datname = pg_catalog.current_database()
"""

# By itself: a query that names a function without the privilege fails, whether it calls it or not.
_SYSTEM = "SELECT s.system_identifier::text FROM pg_catalog.pg_control_system() AS s"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A database, and the circumstances under which its statements are measured."""

    system_identifier: str | None
    """Tells one server's data from another's, copies aside; None where the role may not read it."""
    database_oid: int
    database_name: str
    server_version_num: int
    """Such as 150018 for 15.18."""
    postmaster_start: datetime
    """In UTC."""
    settings: Mapping[str, str]
    """`SETTINGS` by name; those of pg_stat_statements are missing where it is not preloaded."""
    planner_sha256: str
    """A hash of what a session begins with of the settings that decide on plans and memory."""
    extension_version: str | None
    """Of pg_stat_statements; None where it is not installed in this database."""
    extension_schema: str | None
    uncounted: str = ""
    """Settings by which no statement is counted; not those of our role, which keep out our own."""

    @property
    def identity(self) -> DatabaseIdentity:
        """What tells this database from others."""
        return DatabaseIdentity(self.database_name, self.database_oid, self.system_identifier)

    @property
    def is_preloaded(self) -> bool:
        """Whether the server has loaded pg_stat_statements, so that it counts."""
        return "pg_stat_statements.max" in self.settings


async def read_facts(database: Database) -> ServerFacts:
    """Read the facts, in one question and, where the role may, a second one.

    Raises:
        RunError: with the state in which a question ended.
    """
    names = {"statements": list(SETTINGS), "planner": PLANNER}
    # Binary: as text, a time depends on DateStyle.
    (row,) = await database.ask(Question(_FACTS, _TIMEOUT_SECONDS, names, binary=True))
    name, oid, version, started, statements, planner, extension, schema, may_read_system, off = row
    system: str | None = None
    if may_read_system:
        ((system,),) = await database.ask(Question(_SYSTEM, _TIMEOUT_SECONDS))
    return ServerFacts(
        system_identifier=system,
        database_oid=oid,
        database_name=name,
        server_version_num=version,
        postmaster_start=started.astimezone(UTC),
        settings=statements or {},
        planner_sha256=_hash(planner or {}),
        extension_version=extension,
        extension_schema=schema,
        uncounted=", ".join(off or ()),
    )


class FactsReader:
    """Keeps the facts of a database, and reads them again when they are too old."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._facts: ServerFacts | None = None
        self._read_at = float("-inf")
        self.changed_at = 0.0
        """Unix time at which the database was first seen to be another one than before."""

    async def read(self, max_age_seconds: float = 60.0) -> ServerFacts:
        """Return the facts, read at most `max_age_seconds` ago.

        While the database cannot be reached, these are the facts from before.

        Raises:
            RunError: they were never read, and the question ended in this state.
        """
        known = self._facts
        if known and time.monotonic() < self._read_at + max_age_seconds:
            return known
        asked_at = time.monotonic()
        try:
            facts = await read_facts(self._database)
        except RunError:
            if known is None:
                raise
            return known
        if known and not known.identity.is_same(facts.identity):
            self.changed_at = time.time()
        self._facts, self._read_at = facts, asked_at
        return facts


def _hash(settings: Mapping[str, str]) -> str:
    lines = "\n".join(f"{name}={settings[name]}" for name in sorted(settings))
    return hashlib.sha256(lines.encode()).hexdigest()

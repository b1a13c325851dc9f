"""What a database has that a new pack can begin with, for `init --database`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

from exporter.catalog.expected import HistoryKind
from exporter.catalog.relation_name import RelationName
from exporter.catalog.standard import history_table
from exporter.database.conninfo import conninfo_reader
from exporter.database.database import Database
from exporter.database.transaction import Question
from exporter.parser import SqlError
from exporter.run_state import RunError
from exporter.settings import Settings
from exporter.statements.classes import names_of
from exporter.statements.reading import EXTENSION, StatementsExtension, largest_sql
from exporter.statements.text import parse_statement

_TIMEOUT_SECONDS = 10.0
_MOST_TABLES = 12
_MOST_CLASSES = 4
_LEAST_SHARE = 0.02
"""Of the time of all statements; a class that takes less is not offered."""

_TABLES = """
SELECT n.nspname::text, c.relname::text,
       greatest(c.reltuples, 0)::float8
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_roles AS o ON o.oid = n.nspowner
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname !~ '^(pg_|loom_monitor)' AND n.nspname <> 'information_schema'
  -- Of a platform, as Supabase, the schemas are a superuser's.
  AND (n.nspname = 'public' OR NOT o.rolsuper
       OR n.nspowner = (SELECT d.datdba FROM pg_catalog.pg_database AS d
                        WHERE d.datname = pg_catalog.current_database()))
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS e
                  WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                    AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY greatest(c.relpages, (SELECT pg_catalog.sum(p.relpages)
                               FROM pg_catalog.pg_inherits AS i
                               JOIN pg_catalog.pg_class AS p ON p.oid = i.inhrelid
                               WHERE i.inhparent = c.oid)) DESC, 1, 2
"""


class OutlinedClass(NamedTuple):
    """A table, and the share of the time of all statements that those take which name it."""

    table: RelationName
    share: float


@dataclass(frozen=True, slots=True)
class Outline:
    """What a pack can begin with; tables and classes are the largest ones, by size and by time."""

    tables: Sequence[RelationName]
    rows: Mapping[RelationName, float]
    """Estimated, by table."""
    history: HistoryKind
    """`none` where no table of a tool is there."""
    history_schema: str | None
    """Where the tool's table is, if it is not where the tool has it by default."""
    roles: Sequence[str]
    """Those whose statements take the most time."""
    classes: Sequence[OutlinedClass]
    """Empty where nobody has counted statements, or their texts are hidden."""


async def read_outline(settings: Settings) -> Outline:
    """Read the outline of a database, from its catalogs and from pg_stat_statements.

    Raises:
        UsageError: the connection string is missing or malformed.
        RunError: the database cannot be asked.
    """
    read_conninfo = conninfo_reader(settings)
    read_conninfo()
    async with Database(settings.database_name, read_conninfo, max_connections=1) as database:
        found = await database.ask(Question(_TABLES, _TIMEOUT_SECONDS))
        statements = await _statements(database)
    rows = {RelationName(schema, name): count for schema, name, count in found}
    kind, schema, history = _history([*rows])
    tables = [table for table in rows if table != history]
    return Outline(
        tables[:_MOST_TABLES], rows, kind, schema, _roles(statements), _classes(statements, tables)
    )


async def _statements(database: Database) -> Sequence[tuple[str, str, float]]:
    """Return text, role and seconds of the largest statements; none where they are not counted."""
    extension = await database.ask(Question(EXTENSION, _TIMEOUT_SECONDS))
    if not extension:
        return ()
    sql = largest_sql(StatementsExtension(*extension[0]))
    try:
        found: Sequence[tuple[str, str, float]] = await database.ask(
            Question(sql, _TIMEOUT_SECONDS)
        )
    except RunError:
        return ()  # not loaded by the server, or not for this role: the pack has no class then
    return found


def _history(
    tables: Sequence[RelationName],
) -> tuple[HistoryKind, str | None, RelationName | None]:
    """Return the tool whose table is there, its schema if it is another one, and the table."""
    for kind in get_args(HistoryKind):
        usual = history_table(kind)
        if usual is None:
            continue
        for table in tables:
            if table == usual:
                return kind, None, table
            if table.name == usual.name and usual.schema == "public":
                return kind, table.schema, table
    return "none", None, None


def _roles(statements: Sequence[tuple[str, str, float]]) -> Sequence[str]:
    seconds: defaultdict[str, float] = defaultdict(float)
    for _, role, took in statements:
        seconds[role] += took
    total = sum(seconds.values())
    largest = sorted(seconds, key=lambda role: -seconds[role])
    return [role for role in largest[:3] if seconds[role] >= _LEAST_SHARE * total]


def _classes(
    statements: Sequence[tuple[str, str, float]], tables: Sequence[RelationName]
) -> Sequence[OutlinedClass]:
    """Return the tables whose statements take the most time; each statement counts once."""
    known = {table.name: table for table in reversed(tables)}
    left = [(_named(text, known), seconds) for text, _, seconds in statements]
    total = sum(seconds for _, seconds in left)
    found: list[OutlinedClass] = []
    while len(found) < _MOST_CLASSES:
        seconds_of: defaultdict[RelationName, float] = defaultdict(float)
        for named, seconds in left:
            for table in named:
                seconds_of[table] += seconds
        if not seconds_of:
            break
        largest = max(seconds_of, key=lambda table: seconds_of[table])
        if seconds_of[largest] < _LEAST_SHARE * total:
            break
        found.append(OutlinedClass(largest, seconds_of[largest] / total))
        left = [(named, seconds) for named, seconds in left if largest not in named]
    return found


def _named(text: str, known: Mapping[str, RelationName]) -> frozenset[RelationName]:
    """Return the tables that a statement names."""
    statement = parse_statement(text)
    if statement is None:
        return frozenset()
    try:
        names = names_of(statement).relations
    except SqlError:
        return frozenset()
    return frozenset(
        known[name]
        for schema, name in names
        if name in known and schema in (None, known[name].schema)
    )

"""The SQL that reads pg_stat_statements, for the version of the extension, and its rows.

Two statements: the poll reads no texts, because for them the server loads its file of all texts;
the other one reads texts and roles of new entries.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from exporter.catalog.deployment import OTHER
from exporter.database.roles import ROLE
from exporter.statements.counters import Key, Poll, Reading

LONGEST_TEXT = 20_000
"""Characters, after lists of parameters are shortened. A longer text is not parsed."""

_LONGEST_LIST_BYTES = 200_000
"""Lists in a longer text are not shortened: that takes the server ten times as long as reading."""

EXTENSION = """
SELECT n.nspname::text AS schema,
       e.extversion::text AS version,
       (SELECT p.proargnames
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = n.oid AND p.proname = 'pg_stat_statements') AS columns,
       EXISTS (SELECT FROM pg_catalog.pg_proc AS p
               WHERE p.pronamespace = n.oid AND p.proname = 'pg_stat_statements_info') AS has_info
FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'
"""
"""Returns one row for `StatementsExtension`, or none if it is not installed in this database."""


class UnsupportedExtensionError(Exception):
    """The extension in this database is too old; `str()` says what to do."""


@dataclass(frozen=True, slots=True)
class StatementsExtension:
    """pg_stat_statements as it is installed in this database.

    Its columns tell what it can do, not the server's version: an extension keeps its old functions
    until ALTER EXTENSION ... UPDATE.
    """

    schema: str
    version: str
    columns: Collection[str]
    has_info: bool

    def __post_init__(self) -> None:
        if "total_exec_time" not in self.columns:
            raise UnsupportedExtensionError(
                f"pg_stat_statements {self.version} is too old; "
                "run ALTER EXTENSION pg_stat_statements UPDATE"
            )

    @property
    def function(self) -> str:
        """Qualified name of the function that returns the entries, as SQL."""
        return f"{self._schema}.pg_stat_statements"

    @property
    def info(self) -> str:
        """FROM item that returns `stats_reset` and `dealloc`, as SQL."""
        if self.has_info:
            return f"{self._schema}.pg_stat_statements_info()"
        return "(SELECT NULL::timestamptz AS stats_reset, NULL::bigint AS dealloc)"

    @property
    def _schema(self) -> str:
        return '"' + self.schema.replace('"', '""') + '"'


def poll_sql(extension: StatementsExtension) -> str:
    """Return the SQL of a poll, without parameters; `read_poll` reads its rows.

    The binary format halves the client's time for it.

    It returns top-level statements of this database that are not of our own role. The first and
    the last row hold the server's clock and the time of the last reset, as of before and after the
    entries: an Append runs its parts in order.
    """
    edge = f"""
SELECT pg_catalog.json_build_object(
           'clock', pg_catalog.clock_timestamp(), 'stats_reset', i.stats_reset,
           'dealloc', i.dealloc, 'database', d.oid::bigint,
           'postmaster_start', pg_catalog.pg_postmaster_start_time()),
       NULL::oid, NULL::bigint, NULL::bigint, NULL::float8, NULL::float8,
       NULL::bigint, NULL::bigint, NULL::bigint, NULL::float8, {_life(extension, "NULL::{type}")}
FROM {extension.info} AS i, pg_catalog.pg_database AS d
WHERE d.datname = pg_catalog.current_database()
"""
    return f"""{edge}UNION ALL
SELECT NULL, s.userid, s.queryid, s.calls, s.total_exec_time, s.stddev_exec_time,
       s.rows, s.shared_blks_hit, s.shared_blks_read, s.total_plan_time,
       {_life(extension, "s.{name}")}
FROM {extension.function}(false) AS s
WHERE {_ours(extension)}
  AND s.userid <> (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user)
UNION ALL{edge}"""


def _life(extension: StatementsExtension, form: str) -> str:
    """Return the columns that differ between two lives of one entry, in the given form."""
    if "stats_since" in extension.columns:
        return form.format(name="stats_since", type="timestamptz")
    extremes = ("min_exec_time", "max_exec_time")
    return ", ".join(form.format(name=name, type="float8") for name in extremes)


def texts_sql(extension: StatementsExtension) -> str:
    """Return the SQL that reads texts and roles; `read_texts` reads its rows.

    Its parameters are those of `text_parameters`. The server reads its whole file of texts for it,
    however few are asked for. A text that is too long comes with one character too many.
    """
    function = extension.function.replace("%", "%%")  # or psycopg reads a placeholder in it
    shortened = r"pg_catalog.regexp_replace(s.query, '(\$[0-9]+)(\s*,\s*\$[0-9]+)+', '\1', 'g')"
    return f"""
SELECT s.userid, s.dbid, s.queryid, pg_catalog.pg_get_userbyid(s.userid)::text,
       CASE WHEN pg_catalog.octet_length(s.query) > {_LONGEST_LIST_BYTES}
            THEN pg_catalog.left(s.query, {LONGEST_TEXT + 1})
            WHEN pg_catalog.length(s.query) > {LONGEST_TEXT}
            THEN pg_catalog.left({shortened}, {LONGEST_TEXT + 1})
            ELSE s.query END
FROM unnest(%(users)s::oid[], %(queries)s::bigint[]) AS k(userid, queryid)
JOIN {function}(true) AS s ON s.userid = k.userid AND s.queryid = k.queryid
WHERE {_ours(extension)}
"""


def largest_sql(extension: StatementsExtension) -> str:
    """Return the SQL that lists the statements which took the most time, our own left out.

    Text, role, and seconds of execution. The server reads its whole file of texts for it.
    """
    return f"""
SELECT pg_catalog.left(s.query, {LONGEST_TEXT + 1}), pg_catalog.pg_get_userbyid(s.userid)::text,
       s.total_exec_time / 1000
FROM {extension.function}(true) AS s
WHERE {_ours(extension)}
  AND pg_catalog.pg_get_userbyid(s.userid) NOT IN ('{ROLE}', current_user)
ORDER BY s.total_exec_time DESC
LIMIT 500
"""


def foreign_texts_sql(extension: StatementsExtension) -> str:
    """Return the SQL that lists databases with entries and another encoding, by name and OID.

    A text of one of them that cannot be converted fails every reading of texts.
    """
    return f"""
SELECT d.datname::text, d.oid::bigint
FROM pg_catalog.pg_database AS d, pg_catalog.pg_database AS o
WHERE o.datname = pg_catalog.current_database() AND d.encoding <> o.encoding
  AND d.oid IN (SELECT s.dbid FROM {extension.function}(false) AS s)
ORDER BY d.datname
"""


def _ours(extension: StatementsExtension) -> str:
    database = (
        "(SELECT d.oid FROM pg_catalog.pg_database AS d"
        " WHERE d.datname = pg_catalog.current_database())"
    )
    toplevel = "s.toplevel AND " if "toplevel" in extension.columns else ""
    return f"{toplevel}s.dbid = {database}"


def text_parameters(keys: Iterable[Key]) -> dict[str, list[int]]:
    """Return the parameters of `texts_sql`."""
    wanted = tuple(keys)
    return {"users": [key.user for key in wanted], "queries": [key.query for key in wanted]}


def read_poll(rows: Sequence[tuple[Any, ...]]) -> Poll:
    """Return the poll in the rows of `poll_sql`, with times in seconds.

    Raises:
        ValueError: the first or the last row of a poll is missing.
    """
    edges = [row[0] for row in rows if row[0] is not None]
    if len(edges) != 2:
        raise ValueError(f"a poll has two edges, this one has {len(edges)}")
    before, after = edges
    readings: dict[Key, Reading] = {}
    hidden = 0
    for _, user, query, *values in rows:
        if query is not None:
            readings[Key(user, before["database"], query)] = _reading(*values)
        elif user is not None:
            hidden += 1
    return Poll(
        datetime.fromisoformat(before["clock"]),
        datetime.fromisoformat(after["clock"]),
        readings,
        before["stats_reset"] and datetime.fromisoformat(before["stats_reset"]),
        before["dealloc"],
        hidden,
        before["database"],
        datetime.fromisoformat(before["postmaster_start"]),
    )


def _reading(
    calls: int,
    total: float,
    stddev: float,
    rows: int,
    hit: int,
    read: int,
    plan: float,
    *life: Any,
) -> Reading:
    planned = plan / 1e3 if plan else 0.0  # one object for all zeros
    seconds = (total / 1e3, stddev / 1e3)
    if len(life) == 1:
        return Reading(calls, *seconds, rows, hit, read, life[0], None, None, planned)
    least, most = life
    return Reading(calls, *seconds, rows, hit, read, None, least / 1e3, most / 1e3, planned)


class StatementText(NamedTuple):
    """Text of an entry, None if it is too long or the server lost it, and name of its role."""

    text: str | None
    role: str


def read_texts(rows: Iterable[tuple[Any, ...]]) -> Mapping[Key, StatementText]:
    """Return the rows of `texts_sql` by key; entries that are gone by now are missing.

    A text that was cut off is None: what is left of it may parse, as another statement.
    """
    return {
        Key(user, database, query): StatementText(
            text if text is None or len(text) <= LONGEST_TEXT else None, role
        )
        for user, database, query, role, text in rows
    }


def role_label(role: str, with_series: Collection[str]) -> str:
    """Return the value of the label `role`: the role's name if it has series, else `OTHER`.

    >>> role_label("anon", ("anon", "authenticated")), role_label("postgres", ("anon",))
    ('anon', 'other')
    """
    return role if role in with_series else OTHER

"""The SQL that reads pg_stat_statements, made for the extension that is there, and its rows.

Two statements. The poll leaves the texts alone, because the server would load the file of all texts
for them. The other one fetches texts and roles, for entries not met before.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from exporter.catalog.deployment import OTHER
from exporter.statements.counters import Key, Poll, Reading

LONGEST_TEXT = 20_000
"""Characters of a text that are fetched; long lists of parameters are shortened before."""

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
"""Returns one row for `Extension`, or none where it is not installed in this database."""


class UnsupportedExtensionError(Exception):
    """The extension in this database is too old; `str()` says what to do."""


@dataclass(frozen=True, slots=True)
class StatementsExtension:
    """pg_stat_statements as this database offers it.

    By what is there, not by the server's version: an extension keeps its old functions until
    somebody runs ALTER EXTENSION ... UPDATE.
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
        """The function that reads the entries, as SQL."""
        return f"{self._schema}.pg_stat_statements"

    @property
    def info(self) -> str:
        """What to select from for `stats_reset` and `dealloc`, as SQL."""
        if self.has_info:
            return f"{self._schema}.pg_stat_statements_info()"
        return "(SELECT NULL::timestamptz AS stats_reset, NULL::bigint AS dealloc)"

    @property
    def _schema(self) -> str:
        return '"' + self.schema.replace('"', '""') + '"'


def poll_sql(extension: StatementsExtension) -> str:
    """Return the SQL of a poll; `read_poll` knows its rows. It takes no parameters.

    In the binary format its rows take the client less than half the time.

    Only statements of the application's: top level, of this database, and not of our own role.
    The first and the last row tell the server's clock and when the statistics were reset, read
    before and after the entries; an Append runs its parts in turn.
    """
    edge = f"""
SELECT pg_catalog.json_build_object(
           'clock', pg_catalog.clock_timestamp(), 'stats_reset', i.stats_reset,
           'dealloc', i.dealloc, 'database', d.oid::bigint),
       NULL::oid, NULL::bigint, NULL::bigint, NULL::float8, NULL::float8,
       NULL::bigint, NULL::bigint, NULL::bigint, {_life(extension, "NULL::{type}")}
FROM {extension.info} AS i, pg_catalog.pg_database AS d
WHERE d.datname = pg_catalog.current_database()
"""
    return f"""{edge}UNION ALL
SELECT NULL, s.userid, s.queryid, s.calls, s.total_exec_time, s.stddev_exec_time,
       s.rows, s.shared_blks_hit, s.shared_blks_read, {_life(extension, "s.{name}")}
FROM {extension.function}(false) AS s
WHERE {_ours(extension)}
  AND s.userid <> (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user)
UNION ALL{edge}"""


def _life(extension: StatementsExtension, form: str) -> str:
    """Return the columns by which one life of an entry is told from the next, in some form."""
    if "stats_since" in extension.columns:
        return form.format(name="stats_since", type="timestamptz")
    extremes = ("min_exec_time", "max_exec_time")
    return ", ".join(form.format(name=name, type="float8") for name in extremes)


def texts_sql(extension: StatementsExtension) -> str:
    """Return the SQL that fetches texts and roles; `read_texts` knows its rows.

    Its parameters are those of `text_parameters`. Costs the server a look at all of its texts,
    however few are asked for.
    """
    function = extension.function.replace("%", "%%")  # or the driver takes it for a parameter
    shortened = r"pg_catalog.regexp_replace(s.query, '(\$[0-9]+)(\s*,\s*\$[0-9]+)+', '\1', 'g')"
    return f"""
SELECT s.userid, s.dbid, s.queryid, pg_catalog.pg_get_userbyid(s.userid)::text,
       CASE WHEN pg_catalog.length(s.query) > {LONGEST_TEXT}
            THEN pg_catalog.left({shortened}, {LONGEST_TEXT})
            ELSE s.query END
FROM unnest(%(users)s::oid[], %(queries)s::bigint[]) AS k(userid, queryid)
JOIN {function}(true) AS s ON s.userid = k.userid AND s.queryid = k.queryid
WHERE {_ours(extension)}
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
    """Return the poll that the rows of `poll_sql` are. Milliseconds become seconds.

    Raises:
        ValueError: the rows are not those of a poll, because one of its edges is not there.
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
    )


def _reading(
    calls: int, total: float, stddev: float, rows: int, hit: int, read: int, *life: Any
) -> Reading:
    if len(life) == 1:
        return Reading(calls, total / 1e3, stddev / 1e3, rows, hit, read, *life)
    least, most = life
    return Reading(calls, total / 1e3, stddev / 1e3, rows, hit, read, None, least / 1e3, most / 1e3)


class StatementText(NamedTuple):
    """The text of an entry, or None if the server has lost it, and the name of its role."""

    text: str | None
    role: str


def read_texts(rows: Iterable[tuple[Any, ...]]) -> Mapping[Key, StatementText]:
    """Return the rows of `texts_sql` by key; an entry that is gone by now is not among them."""
    return {
        Key(user, database, query): StatementText(text, role)
        for user, database, query, role, text in rows
    }


def role_label(role: str, told_apart: Collection[str]) -> str:
    """Return the value of the label `role`: the role's name if it is told apart, else `OTHER`.

    >>> role_label("anon", ("anon", "authenticated")), role_label("postgres", ("anon",))
    ('anon', 'other')
    """
    return role if role in told_apart else OTHER

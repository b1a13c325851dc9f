"""What the server has of the things that a query requires, asked before the query itself.

Only catalogs are read: neither a lock nor a privilege on the required objects is needed, and a
missing one leaves no error in the server's log.
"""

from collections.abc import Mapping
from typing import Any

from exporter.catalog.query import Query
from exporter.catalog.requirement import parse_version
from exporter.database.grants import FUNCTION_SCHEMA, function_body
from exporter.database.outcome import RunError, State

PREFLIGHT = f"""
SELECT current_setting('server_version_num')::integer / 10000 AS server,
       ARRAY(SELECT r.name
             FROM unnest(%(relations)s::text[]) AS r(name)
             WHERE NOT EXISTS (SELECT FROM pg_class AS c
                               JOIN pg_namespace AS n ON n.oid = c.relnamespace
                               WHERE n.nspname = split_part(r.name, '.', 1)
                                 AND c.relname = split_part(r.name, '.', 2)
                                 AND c.relispopulated)) AS missing,
       (SELECT jsonb_object_agg(e.extname, e.extversion)
        FROM pg_extension AS e
        WHERE e.extname = ANY (%(extensions)s::text[])) AS extensions,
       (SELECT p.prosrc
        FROM pg_proc AS p
        JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname = '{FUNCTION_SCHEMA}'
          AND p.proname = %(function)s AND p.pronargs = 0) AS body
"""


def needs_preflight(query: Query) -> bool:
    """Return whether anything about the server decides how, or if, the query runs."""
    requires = query.header.requires
    return bool(
        query.header.access == "definer"
        or requires.relations
        or requires.extensions
        or requires.server
    )


def preflight_parameters(query: Query) -> dict[str, Any]:
    """Return the parameters of `PREFLIGHT` for this query."""
    requires = query.header.requires
    return {
        "relations": list(requires.relations),
        "extensions": [extension.name for extension in requires.extensions],
        "function": query.name if query.header.access == "definer" else "",
    }


def decide(query: Query, found: Mapping[str, Any]) -> bool:
    """Return whether to call the installed function (true) or to run the query's own text.

    Args:
        query: the query that is about to run.
        found: the one row of `PREFLIGHT`.

    Raises:
        RunError: `absent`, something required is not there; `outdated`, the installed function is
            not made from the file's text.
    """
    requires = query.header.requires
    if requires.server and found["server"] < requires.server:
        raise RunError(
            State.ABSENT, f"needs PostgreSQL {requires.server}; this is {found['server']}"
        )
    if found["missing"]:
        raise RunError(State.ABSENT, f"not there, or not populated: {', '.join(found['missing'])}")
    installed = found["extensions"] or {}
    for extension in requires.extensions:
        if (
            extension.name not in installed
            or parse_version(installed[extension.name]) < extension.at_least
        ):
            raise RunError(State.ABSENT, f"{extension} is not installed")
    if found["body"] is None:
        return False
    if found["body"] != function_body(query):
        raise RunError(
            State.OUTDATED,
            f"{FUNCTION_SCHEMA}.{query.name}() was made from another text; "
            "run `loom-exporter grants` again",
        )
    return True

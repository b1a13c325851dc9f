"""What the server has of the things that a query requires, asked before the query itself.

Only catalogs are read: neither a lock nor a privilege on the required objects is needed, and a
missing one leaves no error in the server's log.
"""

from collections.abc import Mapping
from typing import Any

from exporter.catalog.query import Query
from exporter.catalog.relation_name import RelationName
from exporter.catalog.requirement import parse_version
from exporter.database.grants import (
    FUNCTION_SETTINGS,
    function_body,
    function_name,
    function_schema,
)
from exporter.database.roles import ROLE
from exporter.run_state import RunError, State

PREFLIGHT = f"""
SELECT current_setting('server_version_num')::integer / 10000 AS server,
       ARRAY(SELECT r.name
             FROM unnest(%(relations)s::text[], %(schemas)s::text[], %(names)s::text[])
                 AS r(name, schema, relation)
             WHERE NOT EXISTS (SELECT FROM pg_class AS c
                               JOIN pg_namespace AS n ON n.oid = c.relnamespace
                               WHERE n.nspname = r.schema AND c.relname = r.relation
                                 AND c.relispopulated)) AS missing,
       (SELECT jsonb_object_agg(e.extname, e.extversion)
        FROM pg_extension AS e
        WHERE e.extname = ANY (%(extensions)s::text[])) AS extensions,
       f.prosrc AS body,
       f.is_ours
FROM (VALUES (1)) AS one
LEFT JOIN (
    SELECT p.prosrc,
           p.prosecdef AND l.lanname = 'sql'
               AND p.proconfig IS NOT DISTINCT FROM %(settings)s::text[]
               AND (p.proowner = n.nspowner OR r.rolsuper)
               AND r.rolname <> '{ROLE}' AS is_ours
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    JOIN pg_language AS l ON l.oid = p.prolang
    JOIN pg_roles AS r ON r.oid = p.proowner
    WHERE n.nspname = %(schema)s AND p.proname = %(function)s AND p.pronargs = 0
) AS f ON true
"""
"""`is_ours`: the same text says something else with another search_path, or another's rights."""


def needs_preflight(query: Query) -> bool:
    """Return whether anything about the server decides how, or if, the query runs."""
    requires = query.header.requires
    return bool(
        query.header.access == "definer"
        or requires.relations
        or requires.extensions
        or requires.server
    )


def remedy_of_denial(query: Query) -> str:
    """Return what to do where the role may not read what the query reads."""
    if query.header.access == "definer":
        return "have the owner of the database run what `loom-exporter grants` prints"
    return (
        f"{ROLE} has no right to tables; write `access: definer` in the header of the query, and"
        " have the owner of the database run what `loom-exporter grants` prints"
    )


def preflight_parameters(query: Query) -> dict[str, Any]:
    """Return the parameters of `PREFLIGHT` for this query."""
    requires = query.header.requires
    relations = [RelationName.parse(each) for each in requires.relations]
    return {
        "relations": list(requires.relations),
        "schemas": [each.schema for each in relations],
        "names": [each.name for each in relations],
        "extensions": [extension.name for extension in requires.extensions],
        "schema": function_schema(query.pack),
        "function": query.name if query.header.access == "definer" else "",
        "settings": list(FUNCTION_SETTINGS),
    }


def decide(query: Query, found: Mapping[str, Any]) -> bool:
    """Return whether to call the installed function (true) or to run the query's own text.

    Args:
        query: the query that is about to run.
        found: the one row of `PREFLIGHT`.

    Raises:
        RunError: `absent`, something required is not there; `outdated`, the installed function is
            not as `grants` would make it from the file.
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
            f"{function_name(query)} was made from another text; run `loom-exporter grants` again",
        )
    if not found["is_ours"]:
        raise RunError(
            State.OUTDATED,
            f"{function_name(query)} has another owner, search_path or right than"
            " `loom-exporter grants` gives it; find out who changed it, and run grants again",
        )
    return True

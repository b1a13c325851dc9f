"""The SQL that installs the monitoring role, for a database administrator to read and run.

The role that runs it owns the functions and so lends them its right to see all rows: it needs
CREATEROLE and BYPASSRLS, which Supabase's `postgres` has. An owner without BYPASSRLS makes the
functions fail, not lie, because they run with row_security = off.

Each pack has a schema of its own for its functions, so that several watch one database, installed
by one owner or by several, and the functions of one are never replaced with those of another.
"""

import hashlib
import re
from collections.abc import Iterator

from exporter.catalog import Catalog
from exporter.catalog.query import Query
from exporter.database.roles import ROLE, SCHEMA_PREFIX, limit_sql, session_sql

_LONGEST_IDENTIFIER = 63

CONNECTIONS_EACH = 2
CONNECTIONS_SPARE = 4
"""Two for commands beside the daemons (a person, a Job that captures or verifies), and two for
sessions that the network has lost and the server has not ended yet."""

CONNECTION_LIMIT = CONNECTIONS_EACH + CONNECTIONS_SPARE
"""The limit of a role that serves one daemon."""

FUNCTION_SETTINGS = ("search_path=pg_catalog, pg_temp", "row_security=off")
"""What each function pins, as pg_proc.proconfig has it."""


def function_schema(pack: str) -> str:
    """Return the schema of a pack's functions, as `loom_monitor_shop`; it needs no quotes."""
    name = SCHEMA_PREFIX + re.sub(r"[^a-z0-9]", "_", pack)
    if len(name) <= _LONGEST_IDENTIFIER:
        return name
    return f"{name[: _LONGEST_IDENTIFIER - 9]}_{hashlib.sha256(pack.encode()).hexdigest()[:8]}"


def function_name(query: Query) -> str:
    """Return the query's function with its schema, as `loom_monitor_shop.orders()`."""
    return f"{function_schema(query.pack)}.{query.name}()"


_PREAMBLE = """\
-- Installs the role {role}, and in schema {schema} the functions of the pack
-- {pack}. Read it, then run it as the owner of the database (on Supabase: postgres), in
-- psql or in the SQL editor. It can be run again at any time, and must be after an upgrade of
-- loom-exporter that changes a query. What other packs have installed is left alone.
--
-- It takes CREATEROLE to make and change the role, and BYPASSRLS to own functions that see all
-- rows; a superuser has both. Where you have no CREATEROLE, somebody who has it runs this first,
-- and then what the warnings of your run name:
--     CREATE ROLE {role} LOGIN CONNECTION LIMIT {limit};
-- Without BYPASSRLS, a function that reads a table with row-level security fails; it counts nothing
-- wrong. Have a role with BYPASSRLS run this, where there is one.
--
-- The role can log in, read statistics of the server, and call the functions below, which return
-- counts. It has no right to any table and does not bypass row-level security. With its password,
-- one can also do what PUBLIC may: see docs/operations.md. Give it a password:
--     \\password {role}
BEGIN;
SET LOCAL search_path = pg_catalog;
SET LOCAL lock_timeout = '5s';
-- The functions may name objects that a migration is still to create.
SET LOCAL check_function_bodies = off;

-- Nothing that somebody else made is taken over: its owner could change it afterwards.
DO $$
DECLARE
    owner name;
    other name;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
        IF NOT (SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user) THEN
            RAISE EXCEPTION 'role % may not create {role}', current_user
                USING HINT = 'Run this as a role with CREATEROLE, or let one run: '
                'CREATE ROLE {role} LOGIN CONNECTION LIMIT {limit};';
        END IF;
        CREATE ROLE {role} LOGIN CONNECTION LIMIT {limit};
    ELSIF EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}'
                  AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication))
    THEN
        RAISE EXCEPTION 'role {role} exists, with more rights than a monitor may have'
            USING HINT = 'Rename it, or take its attributes away, and run this again.';
    ELSIF EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass
                  AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = '{role}')
                  AND deptype = 'o') THEN
        RAISE EXCEPTION 'role {role} exists and owns objects, so it is not ours'
            USING HINT = 'Rename it, or give its objects to another role (REASSIGN OWNED).';
    END IF;
    SELECT pg_get_userbyid(nspowner) INTO owner FROM pg_namespace
    WHERE nspname = '{schema}';
    IF NOT FOUND THEN
        CREATE SCHEMA {schema};
    ELSIF owner <> current_user
        AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = owner) THEN
        RAISE EXCEPTION 'schema {schema} belongs to %, which could change it',
            owner USING HINT = format('Run this as %I, or drop the schema.', owner);
    ELSIF obj_description('{schema}'::regnamespace, 'pg_namespace') <> '{tag}' THEN
        RAISE EXCEPTION 'schema {schema} is not of the pack {pack}: %',
            obj_description('{schema}'::regnamespace, 'pg_namespace')
            USING HINT = 'Change `name` in one of the two deployment.yaml, or drop the schema.';
    END IF;
    FOR other IN SELECT DISTINCT pg_get_userbyid(acl.grantee)
        FROM pg_namespace AS n, aclexplode(n.nspacl) AS acl
        WHERE n.nspname = '{schema}' AND acl.grantee NOT IN (0, n.nspowner) LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA {schema} FROM %I', other);
    END LOOP;
END
$$;
COMMENT ON SCHEMA {schema} IS '{tag}';
REVOKE ALL ON SCHEMA {schema} FROM PUBLIC;
GRANT USAGE ON SCHEMA {schema} TO {role};

{connections}
{session}
-- To see the sessions and statements of others. Who may grant only the wider pg_monitor, which
-- contains it, grants that one.
DO $$
BEGIN
    IF NOT pg_has_role('{role}', 'pg_read_all_stats', 'USAGE') THEN
        BEGIN
            GRANT pg_read_all_stats TO {role};
        EXCEPTION WHEN insufficient_privilege THEN
            GRANT pg_monitor TO {role};
        END;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'somebody with ADMIN OPTION must run: GRANT pg_read_all_stats TO {role};';
END
$$;

-- Where the statistics of statements are read. The schema says nothing by itself: what is in it has
-- rights of its own.
DO $$
DECLARE
    extensions name;
BEGIN
    SELECT n.nspname INTO extensions
    FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'pg_stat_statements';
    IF FOUND AND NOT has_schema_privilege('{role}', extensions, 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO {role}', extensions);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'ask the owner of schema % to run: GRANT USAGE ON SCHEMA % TO {role};',
        extensions, quote_ident(extensions);
END
$$;

-- What the role can do because PUBLIC can.
DO $$
DECLARE
    many bigint;
    listed text;
BEGIN
    SELECT count(*), string_agg(f.name, ', ') FILTER (WHERE f.place <= 3) INTO many, listed
    FROM (SELECT p.oid::regproc::text AS name, row_number() OVER (ORDER BY p.oid) AS place
          FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
          WHERE p.prosecdef AND n.nspname <> 'pg_catalog'
            AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
            AND has_schema_privilege('{role}', n.oid, 'USAGE')
            AND has_function_privilege('public', p.oid, 'EXECUTE')) AS f;
    IF many > 0 THEN
        RAISE WARNING '{role} may execute % SECURITY DEFINER functions, as everybody may: %',
            many, listed || CASE WHEN many > 3 THEN ', …' ELSE '' END
            USING HINT = 'REVOKE EXECUTE … FROM PUBLIC, and grant it to the roles that call it.';
    END IF;
    SELECT string_agg(m.roleid::regrole::text, ', ') INTO listed
    FROM pg_auth_members AS m
    WHERE m.member = '{role}'::regrole
      AND m.roleid::regrole::text NOT IN ('pg_read_all_stats', 'pg_monitor');
    IF listed IS NOT NULL THEN
        RAISE WARNING '{role} is a member of %, and may do what that role may', listed;
    END IF;
END
$$;

-- The pack's functions are made again: a query may be gone, or return other columns now.
DO $$
DECLARE
    installed regprocedure;
    other record;
BEGIN
    FOR installed IN SELECT oid FROM pg_proc WHERE pronamespace = '{schema}'::regnamespace LOOP
        EXECUTE format('DROP ROUTINE %s', installed);
    END LOOP;
    FOR other IN SELECT nspname, obj_description(oid, 'pg_namespace') AS tag FROM pg_namespace
        WHERE starts_with(nspname, '{role}') AND nspname <> '{schema}' LOOP
        RAISE NOTICE 'left alone: schema % (%)', other.nspname, coalesce(other.tag, 'of no pack')
            USING HINT = format('If nothing uses it any more: DROP SCHEMA %I CASCADE;',
                                other.nspname);
    END LOOP;
END
$$;
"""


def function_body(query: Query) -> str:
    """Return the body of the query's function: the query's text, its columns cast and named."""
    return f"\n{query.select}\n"


def grants_sql(catalog: Catalog) -> str:
    """Return the SQL that installs the role, and a function for each query that reads tables."""
    pack = catalog.deployment.name
    preamble = _PREAMBLE.format(
        role=ROLE,
        schema=function_schema(pack),
        pack=pack,
        tag=f"loom-exporter pack {pack}",
        limit=CONNECTION_LIMIT,
        connections=limit_sql(ROLE, each=CONNECTIONS_EACH, spare=CONNECTIONS_SPARE),
        session=session_sql(ROLE, "60s"),
    )
    functions = (_function(query) for query in catalog.queries if query.header.access == "definer")
    return "\n".join([preamble, *functions, "COMMIT;"]) + "\n"


def _function(query: Query) -> str:
    # pg_temp stands last, because where it is not named it is searched first, and there the caller
    # may create what the owner would then read.
    # row_security = off makes an owner without BYPASSRLS fail, also when somebody calls by hand.
    name = function_name(query)
    columns = ", ".join(f'"{column}" {sql_type}' for column, sql_type in query.columns.items())
    settings = "\n".join(f"SET {setting.replace('=', ' = ')}" for setting in FUNCTION_SETTINGS)
    tag = _dollar_tag(query.text)
    return f"""\
CREATE FUNCTION {name}
RETURNS TABLE ({columns})
LANGUAGE sql STABLE SECURITY DEFINER
{settings}
AS {tag}{function_body(query)}{tag};
COMMENT ON FUNCTION {name} IS {_literal(f"Pack {query.pack}: {query.header.description}")};
REVOKE ALL ON FUNCTION {name} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {name} TO {ROLE};
"""


def _literal(text: str) -> str:
    # As E'…', because the server may have standard_conforming_strings = off.
    escaped = text.replace("\\", r"\\").replace("'", "''")
    return f"{'E' if escaped.count(chr(92)) else ''}'{escaped}'"


def _dollar_tags() -> Iterator[str]:
    yield "$query$"
    number = 0
    while True:
        yield f"$query{number}$"
        number += 1


def _dollar_tag(text: str) -> str:
    """Return a dollar quote that does not occur in `text`."""
    return next(tag for tag in _dollar_tags() if tag not in text)

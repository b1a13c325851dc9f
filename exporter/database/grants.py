"""The SQL that installs the monitoring role, for a database administrator to read and run.

The role that runs it owns the functions and so lends them its right to see all rows: it needs
CREATEROLE and BYPASSRLS, which Supabase's `postgres` has. An owner without BYPASSRLS makes the
functions fail, not lie, because they run with row_security = off.
"""

from collections.abc import Iterator

from exporter.catalog.query import Query

ROLE = "loom_monitor"
FUNCTION_SCHEMA = "loom_monitor"

CONNECTION_LIMIT = 6
"""Two for the daemon, two for commands beside it (a person, a Job that captures or verifies), and
two for sessions that the network has lost and the server has not ended yet."""

FUNCTION_SETTINGS = ("search_path=pg_catalog, pg_temp", "row_security=off")
"""What each function pins, as pg_proc.proconfig has it."""


def session_sql(role: str, statement_timeout: str) -> str:
    """Return the SQL that lets a role connect, with limits for its sessions."""
    return f"""\
ALTER ROLE {role} SET default_transaction_read_only = on;
ALTER ROLE {role} SET statement_timeout = '{statement_timeout}';
ALTER ROLE {role} SET lock_timeout = '1s';
ALTER ROLE {role} SET idle_in_transaction_session_timeout = '15s';
-- A session whose client is lost in the network ends in half a minute, and not in two hours.
ALTER ROLE {role} SET tcp_keepalives_idle = 10;
ALTER ROLE {role} SET tcp_keepalives_interval = 5;
ALTER ROLE {role} SET tcp_keepalives_count = 3;
ALTER ROLE {role} SET tcp_user_timeout = '15s';

DO $$
BEGIN
    IF NOT has_database_privilege('{role}', current_database(), 'CONNECT') THEN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO {role}', current_database());
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'the owner of the database must grant CONNECT on it to {role}';
END
$$;
"""


_PREAMBLE = f"""\
-- Installs the role {ROLE} and its functions. Read it, then run it as the owner of the
-- database (on Supabase: postgres), in psql or in the SQL editor. It can be run again at any
-- time, and must be after an upgrade of loom-exporter that changes a query.
--
-- It takes CREATEROLE to make the role and BYPASSRLS to own functions that see all rows.
--
-- The role can log in, read statistics of the server, and call the functions below, which return
-- counts. It has no right to any table and does not bypass row-level security. With its password,
-- one can also do what PUBLIC may: see docs/operations.md. Give it a password:
--     \\password {ROLE}
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
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
        IF NOT (SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user) THEN
            RAISE EXCEPTION 'role % may not create {ROLE}', current_user
                USING HINT = 'Run this as a role with CREATEROLE.';
        END IF;
        CREATE ROLE {ROLE} LOGIN CONNECTION LIMIT {CONNECTION_LIMIT};
    ELSIF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}'
                  AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication))
    THEN
        RAISE EXCEPTION 'role {ROLE} exists, with more rights than a monitor may have'
            USING HINT = 'Rename it, or take its attributes away, and run this again.';
    ELSIF EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass
                  AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = '{ROLE}')
                  AND deptype = 'o') THEN
        RAISE EXCEPTION 'role {ROLE} exists and owns objects, so it is not ours'
            USING HINT = 'Rename it, or give its objects to another role (REASSIGN OWNED).';
    END IF;
    -- A higher limit, or none, is an administrator's decision. Each further database of this server
    -- that the role watches needs two more.
    IF (SELECT rolconnlimit BETWEEN 0 AND {CONNECTION_LIMIT - 1}
        FROM pg_roles WHERE rolname = '{ROLE}') THEN
        ALTER ROLE {ROLE} CONNECTION LIMIT {CONNECTION_LIMIT};
    END IF;
    SELECT pg_get_userbyid(nspowner) INTO owner FROM pg_namespace
    WHERE nspname = '{FUNCTION_SCHEMA}';
    IF NOT FOUND THEN
        CREATE SCHEMA {FUNCTION_SCHEMA};
    ELSIF owner <> current_user
        AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = owner) THEN
        RAISE EXCEPTION 'schema {FUNCTION_SCHEMA} belongs to %, which could change it',
            owner USING HINT = format('Run this as %I, or drop the schema.', owner);
    END IF;
    FOR other IN SELECT DISTINCT pg_get_userbyid(acl.grantee)
        FROM pg_namespace AS n, aclexplode(n.nspacl) AS acl
        WHERE n.nspname = '{FUNCTION_SCHEMA}' AND acl.grantee NOT IN (0, n.nspowner) LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA {FUNCTION_SCHEMA} FROM %I', other);
    END LOOP;
END
$$;
REVOKE ALL ON SCHEMA {FUNCTION_SCHEMA} FROM PUBLIC;
GRANT USAGE ON SCHEMA {FUNCTION_SCHEMA} TO {ROLE};

-- A net below the limits that the exporter sets in each transaction.
{session_sql(ROLE, "60s")}
-- To see the sessions and statements of others. Who may grant only the wider pg_monitor, which
-- contains it, grants that one.
DO $$
BEGIN
    IF NOT pg_has_role('{ROLE}', 'pg_read_all_stats', 'USAGE') THEN
        BEGIN
            GRANT pg_read_all_stats TO {ROLE};
        EXCEPTION WHEN insufficient_privilege THEN
            GRANT pg_monitor TO {ROLE};
        END;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'somebody with ADMIN OPTION must run: GRANT pg_read_all_stats TO {ROLE};';
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
    IF FOUND AND NOT has_schema_privilege('{ROLE}', extensions, 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO {ROLE}', extensions);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'ask the owner of schema % to run: GRANT USAGE ON SCHEMA % TO {ROLE};',
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
          WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', '{FUNCTION_SCHEMA}')
            AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
            AND has_schema_privilege('{ROLE}', n.oid, 'USAGE')
            AND has_function_privilege('{ROLE}', p.oid, 'EXECUTE')) AS f;
    IF many > 0 THEN
        RAISE WARNING '{ROLE} may execute % SECURITY DEFINER functions, as everybody may: %',
            many, listed || CASE WHEN many > 3 THEN ', …' ELSE '' END
            USING HINT = 'REVOKE EXECUTE … FROM PUBLIC, and grant it to the roles that call it.';
    END IF;
    SELECT string_agg(m.roleid::regrole::text, ', ') INTO listed
    FROM pg_auth_members AS m
    WHERE m.member = '{ROLE}'::regrole
      AND m.roleid::regrole::text NOT IN ('pg_read_all_stats', 'pg_monitor');
    IF listed IS NOT NULL THEN
        RAISE WARNING '{ROLE} is a member of %, and may do what that role may', listed;
    END IF;
END
$$;

-- Functions of queries that are no more, or that return other columns now.
DO $$
DECLARE
    installed regprocedure;
BEGIN
    FOR installed IN SELECT oid FROM pg_proc
        WHERE pronamespace = '{FUNCTION_SCHEMA}'::regnamespace LOOP
        EXECUTE format('DROP ROUTINE %s', installed);
    END LOOP;
END
$$;
"""


def function_body(query: Query) -> str:
    """Return the body of the query's function: the query's text, its columns cast and named."""
    return f"\n{query.select}\n"


def grants_sql(queries: tuple[Query, ...]) -> str:
    """Return the SQL that installs the role, and a function for each query that reads tables."""
    functions = (_function(query) for query in queries if query.header.access == "definer")
    return "\n".join([_PREAMBLE, *functions, "COMMIT;"]) + "\n"


def _function(query: Query) -> str:
    # pg_temp stands last, because where it is not named it is searched first, and there the caller
    # may create what the owner would then read.
    # row_security = off makes an owner without BYPASSRLS fail, also when somebody calls by hand.
    name = f"{FUNCTION_SCHEMA}.{query.name}()"
    columns = ", ".join(f'"{column}" {sql_type}' for column, sql_type in query.columns.items())
    settings = "\n".join(f"SET {setting.replace('=', ' = ')}" for setting in FUNCTION_SETTINGS)
    tag = _dollar_tag(query.text)
    return f"""\
CREATE FUNCTION {name}
RETURNS TABLE ({columns})
LANGUAGE sql STABLE SECURITY DEFINER
{settings}
AS {tag}{function_body(query)}{tag};
COMMENT ON FUNCTION {name} IS {_literal(query.header.description)};
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

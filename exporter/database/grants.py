"""The SQL that installs the monitoring role, for a database administrator to read and run.

Whoever runs it owns the functions and so lends them its right to see all rows: it needs BYPASSRLS,
which Supabase's `postgres` has. An owner without it makes the functions fail, not lie, because they
run with row_security = off.
"""

from collections.abc import Iterator

from exporter.catalog.query import Query

ROLE = "loom_monitor"
FUNCTION_SCHEMA = "loom_monitor"

CONNECTION_LIMIT = 6
"""Two for the daemon, two for commands beside it (a person, a Job that captures or verifies), and
two for sessions that the network has lost and the server has not ended yet."""

_PREAMBLE = f"""\
-- Installs the role {ROLE} and its functions. Read it, then run it as the owner of the
-- database (on Supabase: postgres), in psql or in the SQL editor. It can be run again at any
-- time, and must be after an upgrade of loom-exporter that changes a query.
--
-- The role can log in, read statistics of the server, and call the functions below, which return
-- counts. It has no right to any table and does not bypass row-level security. Give it a password:
--     \\password {ROLE}
BEGIN;
SET LOCAL search_path = pg_catalog;
SET LOCAL lock_timeout = '5s';
-- The functions may name objects that a migration is still to create.
SET LOCAL check_function_bodies = off;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
        CREATE ROLE {ROLE} LOGIN;
    END IF;
END
$$;
ALTER ROLE {ROLE} CONNECTION LIMIT {CONNECTION_LIMIT};
-- A net below the limits that the exporter sets in each transaction.
ALTER ROLE {ROLE} SET default_transaction_read_only = on;
ALTER ROLE {ROLE} SET statement_timeout = '60s';
ALTER ROLE {ROLE} SET lock_timeout = '1s';
ALTER ROLE {ROLE} SET idle_in_transaction_session_timeout = '15s';
-- A session whose client is lost in the network ends in half a minute, and not in two hours.
ALTER ROLE {ROLE} SET tcp_keepalives_idle = 10;
ALTER ROLE {ROLE} SET tcp_keepalives_interval = 5;
ALTER ROLE {ROLE} SET tcp_keepalives_count = 3;
ALTER ROLE {ROLE} SET tcp_user_timeout = '15s';

DO $$
BEGIN
    IF NOT has_database_privilege('{ROLE}', current_database(), 'CONNECT') THEN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO {ROLE}', current_database());
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'the owner of the database must grant CONNECT on it to {ROLE}';
END
$$;

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

CREATE SCHEMA IF NOT EXISTS {FUNCTION_SCHEMA};
REVOKE ALL ON SCHEMA {FUNCTION_SCHEMA} FROM PUBLIC;
GRANT USAGE ON SCHEMA {FUNCTION_SCHEMA} TO {ROLE};

-- Functions of queries that are no more, or that return other columns now.
DO $$
DECLARE
    installed regprocedure;
BEGIN
    FOR installed IN SELECT oid FROM pg_proc
        WHERE pronamespace = '{FUNCTION_SCHEMA}'::regnamespace LOOP
        EXECUTE format('DROP FUNCTION %s', installed);
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
    # pg_temp stands last, because where it is not named it is searched first, and there whoever
    # calls the function may create what its owner would then read.
    # row_security = off makes an owner without BYPASSRLS fail, also when somebody calls by hand.
    name = f"{FUNCTION_SCHEMA}.{query.name}()"
    columns = ", ".join(f'"{column}" {sql_type}' for column, sql_type in query.columns.items())
    tag = _dollar_tag(query.text)
    return f"""\
CREATE FUNCTION {name}
RETURNS TABLE ({columns})
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS {tag}{function_body(query)}{tag};
COMMENT ON FUNCTION {name} IS {_literal(query.header.description)};
REVOKE ALL ON FUNCTION {name} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {name} TO {ROLE};
"""


def _literal(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def _dollar_tags() -> Iterator[str]:
    yield "$query$"
    number = 0
    while True:
        yield f"$query{number}$"
        number += 1


def _dollar_tag(text: str) -> str:
    """Return a dollar quote that does not occur in `text`."""
    return next(tag for tag in _dollar_tags() if tag not in text)

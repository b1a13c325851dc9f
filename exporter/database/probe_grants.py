"""The SQL that installs the role of the probes, for a database administrator to read and run."""

from exporter.catalog import Catalog

PROBE_ROLE = "loom_probe"

CONNECTION_LIMIT = 4
"""One for the daemon, one for a command beside it, and two for sessions that the network has lost
and the server has not ended yet."""

_SQL = """\
-- Installs the role {role}, which asks what a user of the API sees. Read it, then run it as the
-- owner of the database (on Supabase: postgres). It can be run again at any time, and must be where
-- api_roles in deployment.yaml change.
--
-- With its password, one can read and change whatever any user of the API may, by saying to be that
-- user: row-level security believes the claims that a session sets. It is a member of
-- {roles}, without inheriting from them. Keep its password like the secret by which
-- the API signs its tokens, and give it one only if you want probes:
--     \\password {role}
BEGIN;
SET LOCAL search_path = pg_catalog;
SET LOCAL lock_timeout = '5s';

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
        CREATE ROLE {role} LOGIN NOINHERIT CONNECTION LIMIT {limit};
    ELSIF EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}'
                  AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication
                       OR rolinherit))
    THEN
        RAISE EXCEPTION 'role {role} exists, with more rights than a probe may have'
            USING HINT = 'Rename it, or take its attributes away, and run this again.';
    ELSIF EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass
                  AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = '{role}')
                  AND deptype = 'o') THEN
        RAISE EXCEPTION 'role {role} exists and owns objects, so it is not ours'
            USING HINT = 'Rename it, or give its objects to another role (REASSIGN OWNED).';
    END IF;
END
$$;

-- A net below the limits that the exporter sets in each transaction. One who has the password can
-- undo them.
ALTER ROLE {role} SET default_transaction_read_only = on;
ALTER ROLE {role} SET statement_timeout = '10s';
ALTER ROLE {role} SET lock_timeout = '1s';
ALTER ROLE {role} SET idle_in_transaction_session_timeout = '15s';
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

-- Member of the roles of the API, and of no other one.
DO $$
DECLARE
    api_role name;
BEGIN
    FOREACH api_role IN ARRAY ARRAY[{literals}]::name[] LOOP
        IF EXISTS (SELECT FROM pg_roles
                   WHERE rolname = api_role AND (rolsuper OR rolbypassrls)) THEN
            RAISE EXCEPTION 'role % passes by row-level security, so probes as it prove nothing',
                api_role USING HINT = 'Take it out of api_roles in deployment.yaml.';
        END IF;
        BEGIN
            EXECUTE format('GRANT %I TO {role}', api_role);
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING 'somebody with ADMIN OPTION on % must run: GRANT % TO {role};',
                api_role, quote_ident(api_role);
        END;
    END LOOP;
    FOR api_role IN SELECT m.roleid::regrole::text FROM pg_auth_members AS m
        WHERE m.member = '{role}'::regrole
          AND pg_get_userbyid(m.roleid) <> ALL (ARRAY[{literals}]::name[])
    LOOP
        RAISE WARNING '{role} is a member of %, and may do what that role may', api_role;
    END LOOP;
END
$$;
COMMIT;
"""


def probe_grants_sql(catalog: Catalog) -> str:
    """Return the SQL that installs the role as a member of the API roles of a deployment."""
    roles = catalog.deployment.api_roles
    literals = ", ".join("'" + role.replace("'", "''") + "'" for role in roles)
    return _SQL.format(
        role=PROBE_ROLE,
        limit=CONNECTION_LIMIT,
        roles=" and ".join(roles) or "no role",
        literals=literals,
    )

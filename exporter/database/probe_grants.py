"""The SQL that installs the role of the probes, for a database administrator to read and run."""

from exporter.catalog import Catalog
from exporter.database.roles import limit_sql, session_sql

PROBE_ROLE = "loom_probe"

CONNECTIONS_EACH = 1
CONNECTIONS_SPARE = 3
"""One for a command beside the daemons, and two for sessions that the network has lost and the
server has not ended yet."""

_SQL = """\
-- Installs the role {role}, which asks what a user of the API sees. Read it, then run it as the
-- owner of the database (on Supabase: postgres). It can be run again at any time, and must be where
-- api_roles in deployment.yaml change.
--
-- It takes CREATEROLE to make and change the role, and ADMIN OPTION on the roles of the API; a
-- superuser has both. Where you have no CREATEROLE, somebody who has it runs this first, and then
-- what the warnings of your run name:
--     CREATE ROLE {role} LOGIN NOINHERIT CONNECTION LIMIT {limit};
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

{connections}
-- One who has the password can undo these.
{session}
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
        connections=limit_sql(PROBE_ROLE, each=CONNECTIONS_EACH, spare=CONNECTIONS_SPARE),
        session=session_sql(PROBE_ROLE, "10s"),
        limit=CONNECTIONS_EACH + CONNECTIONS_SPARE,
        roles=" and ".join(roles) or "no role",
        literals=literals,
    )

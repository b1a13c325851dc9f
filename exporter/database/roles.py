"""What the roles of the exporter have in common: limits of their sessions and connections, as SQL.

Who lacks the right to change a role is told what another one must run, and the rest is installed.
"""

ROLE = "loom_monitor"

SCHEMA_PREFIX = f"{ROLE}_"
"""How the schema of a pack begins; each pack that is installed has one in each of its databases."""

_SESSION = """\
-- A net below the limits that the exporter sets in each transaction. A session whose client is lost
-- in the network ends in half a minute, and not in two hours.
DO $$
DECLARE
    wanted text;
    missing text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY[
        'default_transaction_read_only=on',
        'statement_timeout={statement_timeout}',
        'lock_timeout=1s',
        'idle_in_transaction_session_timeout=15s',
        'tcp_keepalives_idle=10',
        'tcp_keepalives_interval=5',
        'tcp_keepalives_count=3',
        'tcp_user_timeout=15s'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles
                              WHERE rolname = '{role}' AND wanted = ANY (rolconfig));
        wanted := format('ALTER ROLE {role} SET %s = %L;',
                         split_part(wanted, '=', 1), split_part(wanted, '=', 2));
        BEGIN
            EXECUTE wanted;
        EXCEPTION WHEN insufficient_privilege THEN
            missing := concat_ws(' ', missing, wanted);
        END;
    END LOOP;
    IF missing IS NOT NULL THEN
        RAISE WARNING 'somebody with CREATEROLE must run: %', missing;
    END IF;
END
$$;

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

# Of other databases only the OIDs of their schemas are known: one that is not ours, such as that of
# an extension, makes the limit two higher than it need be.
_LIMIT = """\
-- The role needs {each} for each pack in each database of this server, and {spare} besides. A
-- higher limit, or none, is an administrator's decision, and is left alone.
DO $$
DECLARE
    packs bigint;
    wanted bigint;
BEGIN
    SELECT count(*) INTO packs
    FROM pg_shdepend AS d
    LEFT JOIN pg_namespace AS n ON n.oid = d.objid
        AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    WHERE d.refclassid = 'pg_authid'::regclass AND d.classid = 'pg_namespace'::regclass
      AND d.refobjid = (SELECT oid FROM pg_roles WHERE rolname = '{monitor}')
      AND (n.oid IS NULL OR starts_with(n.nspname, '{prefix}'));
    wanted := {spare} + {each} * greatest(packs, 1);
    IF (SELECT rolconnlimit BETWEEN 0 AND wanted - 1 FROM pg_roles WHERE rolname = '{role}') THEN
        EXECUTE format('ALTER ROLE {role} CONNECTION LIMIT %s', wanted);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'somebody with CREATEROLE must run: %',
        format('ALTER ROLE {role} CONNECTION LIMIT %s;', wanted);
END
$$;
"""


def session_sql(role: str, statement_timeout: str) -> str:
    """Return the SQL that lets a role connect, with limits for its sessions."""
    return _SESSION.format(role=role, statement_timeout=statement_timeout)


def limit_sql(role: str, *, each: int, spare: int) -> str:
    """Return the SQL that raises the connection limit of a role where it is too low.

    Args:
        role: its name.
        each: connections for each pack in each database.
        spare: connections besides.
    """
    return _LIMIT.format(role=role, each=each, spare=spare, monitor=ROLE, prefix=SCHEMA_PREFIX)

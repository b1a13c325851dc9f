-- The roles, schemas and privileges that a Supabase project gives to an application: the least of them
-- that Loom needs. Run once, by the superuser `supabase_admin`, in the empty database.
--
-- No password stands here: whoever runs this gives each role one.

-- The API roles. PostgREST logs in as `authenticator` and becomes one of the other three in each request.
CREATE ROLE anon NOLOGIN NOINHERIT;
CREATE ROLE authenticated NOLOGIN NOINHERIT;
CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
CREATE ROLE authenticator LOGIN NOINHERIT;
GRANT anon, authenticated, service_role TO authenticator;

-- PostgREST puts these into effect after SET ROLE; a client that only does SET ROLE keeps its own.
ALTER ROLE anon SET statement_timeout = '3s';
ALTER ROLE authenticated SET statement_timeout = '8s';
ALTER ROLE authenticator SET statement_timeout = '8s';

-- The owner of everything: Supabase's `postgres` is not a superuser, and a monitor must get by with what it may grant.
CREATE ROLE postgres LOGIN NOSUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS;
GRANT anon, authenticated, service_role TO postgres WITH ADMIN OPTION;
GRANT pg_monitor TO postgres WITH ADMIN OPTION;
-- Before 16 CREATEROLE was enough to hand out pg_read_all_stats. Since 16 it takes ADMIN OPTION on that very role:
-- the one on pg_monitor, which contains it, does not reach so far.
GRANT pg_read_all_stats TO postgres WITH ADMIN OPTION;

-- As owner of the database, `postgres` also owns schema public (pg_database_owner) and may create schemas.
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I OWNER TO postgres', current_database());
    EXECUTE format('ALTER DATABASE %I SET search_path TO "$user", public, extensions', current_database());
END
$$;

CREATE SCHEMA extensions AUTHORIZATION postgres;
CREATE SCHEMA auth AUTHORIZATION postgres;
CREATE SCHEMA storage AUTHORIZATION postgres;
CREATE SCHEMA supabase_migrations AUTHORIZATION postgres;

-- supabase_migrations stays closed to the API.
GRANT USAGE ON SCHEMA public, auth, storage, extensions TO anon, authenticated, service_role;

-- The platform's generosity: whatever `postgres` creates in public, every API role may use. Row-level security is
-- what stands between; a view or a materialized view has none, which is how one of them ends up public.
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;

-- Only what the server ships: the embedded PostgreSQL has no pgcrypto, and Loom needs nothing of it
-- (gen_random_uuid() is in the core). pg_stat_statements can be created without being preloaded; it then only
-- fails when it is read.
DO $$
DECLARE
    extension name;
BEGIN
    FOR extension IN
        SELECT name FROM pg_available_extensions WHERE name IN ('pg_stat_statements', 'pgcrypto') ORDER BY name
    LOOP
        EXECUTE format('CREATE EXTENSION %I WITH SCHEMA extensions', extension);
    END LOOP;
END
$$;
-- Supabase lets `postgres` reset the statistics; its members of pg_monitor only read them.
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA extensions TO postgres;

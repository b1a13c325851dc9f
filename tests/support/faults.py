"""Faults after a healthy deployment: what somebody does, and what has to be said."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """What somebody does, how it is undone, and what has to be named."""

    does: str
    undoes: str
    criterion: str
    told: str
    phase: str


FAULTS = {
    "insert is revoked": Fault(
        "REVOKE INSERT ON public.resource_collections, public.resource_collection_items"
        " FROM authenticated",
        "GRANT INSERT ON public.resource_collections, public.resource_collection_items"
        " TO authenticated",
        "no_drift",
        "relation resource_collection_items was changed; relation resource_collections was changed",
        "rls",
    ),
    "select is revoked": Fault(
        "REVOKE SELECT ON public.resource_client_progress FROM authenticated",
        "GRANT SELECT ON public.resource_client_progress TO authenticated",
        "no_drift",
        "relation resource_client_progress was changed",
        "rls",
    ),
    "policy is opened": Fault(
        'ALTER POLICY "Clients can view shared collection items"'
        " ON public.resource_collection_items USING (true)",
        "",
        "no_drift",
        "policy Clients can view shared collection items on resource_collection_items was changed",
        "rls",
    ),
    "policy compares the wrong column": Fault(
        'ALTER POLICY "Clients can view their own progress"'
        " ON public.resource_client_progress USING (id = auth.uid())",
        "",
        "no_drift",
        "policy Clients can view their own progress on resource_client_progress was changed",
        "rls",
    ),
    "rows are deleted": Fault(
        "DELETE FROM public.resource_client_progress",
        "",
        "data_kept",
        "0 records of progress (expected at least",
        "rls",
    ),
    "index is lost": Fault(
        "DROP INDEX public.{index}",
        "",
        "schema_kept",
        "index {index} on resource_collection_items was 1 before and is gone",
        "rls",
    ),
    "foreign key is lost": Fault(
        "ALTER TABLE public.resource_collection_items DROP CONSTRAINT {key}",
        "",
        "schema_kept",
        "constraint {key} on resource_collection_items was 1 before and is gone",
        "rls",
    ),
    "foreign keys are switched off": Fault(
        "ALTER TABLE public.resource_collection_items DISABLE TRIGGER ALL",
        "ALTER TABLE public.resource_collection_items ENABLE TRIGGER ALL",
        "no_drift",
        "relation resource_collection_items was changed",
        "rls",
    ),
    "default is changed": Fault(
        "ALTER TABLE public.users ALTER mfa_enabled SET DEFAULT true",
        "",
        "no_drift",
        "column mfa_enabled on users was changed",
        "mfa",
    ),
    "not null is dropped": Fault(
        "ALTER TABLE public.resource_collections ALTER name DROP NOT NULL",
        "",
        "no_drift",
        "column name on resource_collections was changed",
        "rls",
    ),
    "column is added": Fault(
        "ALTER TABLE public.resource_collections ADD COLUMN by_hand text",
        "",
        "no_drift",
        "column by_hand on resource_collections was added",
        "rls",
    ),
    "function is replaced": Fault(
        "CREATE OR REPLACE FUNCTION public.get_user_mfa_status(p_user_id uuid) RETURNS jsonb"
        " LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public"
        " AS $$ SELECT '{{}}'::jsonb $$",
        "",
        "no_drift",
        "function get_user_mfa_status(uuid) was changed",
        "mfa",
    ),
    "execute is revoked": Fault(
        "REVOKE EXECUTE ON FUNCTION public.refresh_user_mfa_status_unified() FROM service_role",
        "GRANT EXECUTE ON FUNCTION public.refresh_user_mfa_status_unified() TO service_role",
        "no_drift",
        "function refresh_user_mfa_status_unified() was changed",
        "mfa",
    ),
    "row-level security is switched off": Fault(
        "ALTER TABLE public.resource_collections DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE public.resource_collections ENABLE ROW LEVEL SECURITY",
        "rls_tests",
        "resource_collections: 0 tables with row-level security",
        "rls",
    ),
    "schema is closed": Fault(
        "REVOKE USAGE ON SCHEMA public FROM anon",
        "GRANT USAGE ON SCHEMA public TO anon",
        "no_drift",
        "schema public was changed",
        "",
    ),
    "role gets a timeout": Fault(
        "ALTER ROLE authenticated SET lock_timeout = '1s'",
        "ALTER ROLE authenticated RESET lock_timeout",
        "no_drift",
        "role authenticated was changed",
        "",
    ),
    "trigger is disabled": Fault(
        "ALTER TABLE public.user_mfa_methods DISABLE TRIGGER trg_sync_mfa_enabled_on_method_change",
        "ALTER TABLE public.user_mfa_methods ENABLE TRIGGER trg_sync_mfa_enabled_on_method_change",
        "no_drift",
        "trigger trg_sync_mfa_enabled_on_method_change on user_mfa_methods was changed",
        "mfa",
    ),
    "trigger is dropped": Fault(
        "DROP TRIGGER trg_sync_mfa_enabled_on_method_change ON public.user_mfa_methods",
        "",
        "no_drift",
        "trigger trg_sync_mfa_enabled_on_method_change on user_mfa_methods was dropped",
        "mfa",
    ),
    "column is dropped": Fault(
        "ALTER TABLE public.resource_collections DROP COLUMN icon",
        "",
        "no_drift",
        "column icon on resource_collections was dropped",
        "rls",
    ),
    "table is opened to anybody": Fault(
        "GRANT SELECT ON public.resource_client_progress TO PUBLIC",
        "REVOKE SELECT ON public.resource_client_progress FROM PUBLIC",
        "no_drift",
        "relation resource_client_progress was changed",
        "rls",
    ),
    "view loses security_invoker": Fault(
        "ALTER VIEW public.users_with_active_mfa SET (security_invoker = false)",
        "",
        "no_drift",
        "relation users_with_active_mfa was changed",
        "mfa",
    ),
    "constraint holds for new rows only": Fault(
        "ALTER TABLE public.resource_client_progress"
        " ADD CONSTRAINT by_hand CHECK (created_at IS NOT NULL) NOT VALID",
        "ALTER TABLE public.resource_client_progress DROP CONSTRAINT by_hand",
        "no_drift",
        "constraint by_hand on resource_client_progress was added",
        "rls",
    ),
    "statistics target is changed": Fault(
        "ALTER TABLE public.users ALTER COLUMN email SET STATISTICS 1",
        "ALTER TABLE public.users ALTER COLUMN email SET STATISTICS -1",
        "no_drift",
        "column email on users was changed",
        "mfa",
    ),
    "table is published": Fault(
        "CREATE PUBLICATION by_hand FOR TABLE public.users",
        "DROP PUBLICATION by_hand",
        "no_drift",
        "publication by_hand was added",
        "",
    ),
    "enum grows": Fault(
        "ALTER TYPE public.user_role ADD VALUE 'guest'",
        "",
        "no_drift",
        "enum user_role was changed",
        "",
    ),
}


def _drift(does: str, undoes: str, told: str, phase: str = "") -> Fault:
    return Fault(does, undoes, "no_drift", told, phase)


FAULTS |= {
    "function that policies call is replaced": _drift(
        "CREATE OR REPLACE FUNCTION private.file_ids_shared_with_caller() RETURNS SETOF uuid"
        " LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' ROWS 20"
        " AS 'SELECT id FROM public.file_uploads'",
        "",
        "function private.file_ids_shared_with_caller() was changed",
        "rls",
    ),
    "function that policies call gets the search_path of its caller": _drift(
        "ALTER FUNCTION private.collection_ids_shared_with_caller() RESET search_path",
        "ALTER FUNCTION private.collection_ids_shared_with_caller() SET search_path = ''",
        "function private.collection_ids_shared_with_caller() was changed",
        "rls",
    ),
    "schema that policies reach into is closed": _drift(
        "REVOKE USAGE ON SCHEMA private FROM authenticated",
        "GRANT USAGE ON SCHEMA private TO authenticated",
        "schema private was changed",
        "rls",
    ),
    "caller is nobody": _drift(
        "CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE RETURN NULL::uuid",
        "",
        "function auth.uid() was changed",
        "security",
    ),
    "new people get no row": _drift(
        "ALTER TABLE auth.users DISABLE TRIGGER on_auth_user_created",
        "ALTER TABLE auth.users ENABLE TRIGGER on_auth_user_created",
        "trigger on_auth_user_created on auth.users was changed",
    ),
    "bucket is opened": _drift(
        "CREATE POLICY open ON storage.buckets USING (true)",
        "DROP POLICY open ON storage.buckets",
        "policy open on storage.buckets was added",
    ),
    "requests cannot become signed in": _drift(
        "REVOKE authenticated FROM authenticator",
        "GRANT authenticated TO authenticator",
        "role authenticator was changed",
    ),
    "service meets policies": _drift(
        "ALTER ROLE service_role NOBYPASSRLS",
        "ALTER ROLE service_role BYPASSRLS",
        "role service_role was changed",
    ),
    "password expires": _drift(
        "ALTER ROLE authenticator VALID UNTIL '2020-01-01'",
        "ALTER ROLE authenticator VALID UNTIL 'infinity'",
        "role authenticator was changed",
    ),
    "role gets a timeout in this database": _drift(
        "ALTER ROLE authenticated IN DATABASE loom SET statement_timeout = '5ms'",
        "ALTER ROLE authenticated IN DATABASE loom RESET ALL",
        "role authenticated was changed",
    ),
    "sessions skip triggers and foreign keys": _drift(
        "ALTER DATABASE loom SET session_replication_role = replica",
        "ALTER DATABASE loom RESET session_replication_role",
        "database loom was changed",
    ),
    "database is closed": _drift(
        "ALTER DATABASE loom CONNECTION LIMIT 5",
        "ALTER DATABASE loom CONNECTION LIMIT -1",
        "database loom was changed",
    ),
    "new tables are open": _drift(
        "ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public"
        " GRANT SELECT ON TABLES TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public"
        " REVOKE SELECT ON TABLES FROM PUBLIC",
        "default_privileges r of postgres public was changed",
    ),
    "table is not vacuumed": _drift(
        "ALTER TABLE public.user_mfa_methods SET (autovacuum_enabled = false)",
        "ALTER TABLE public.user_mfa_methods RESET (autovacuum_enabled)",
        "relation user_mfa_methods was changed",
        "mfa",
    ),
    "table does not survive a crash": _drift(
        "ALTER TABLE public.mfa_verification_attempts SET UNLOGGED",
        "",
        "relation mfa_verification_attempts was changed",
        "mfa",
    ),
    "changes are not replicated": _drift(
        "ALTER TABLE public.sessions REPLICA IDENTITY NOTHING",
        "ALTER TABLE public.sessions REPLICA IDENTITY DEFAULT",
        "relation sessions was changed",
    ),
    "default of an argument is changed": _drift(
        "CREATE OR REPLACE FUNCTION public.get_user_mfa_status(p_user_id uuid DEFAULT NULL)"
        " RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public"
        " AS $$ SELECT '{{}}'::jsonb $$",
        "",
        "function get_user_mfa_status(uuid) was changed",
        "mfa",
    ),
    "planner takes a function for dear": _drift(
        "ALTER FUNCTION public.is_admin() COST 1000000",
        "ALTER FUNCTION public.is_admin() COST 100",
        "function is_admin() was changed",
        "security",
    ),
    "domain loses its check": _drift(
        "ALTER DOMAIN public.contact DROP CONSTRAINT contact_check",
        "",
        "constraint contact_check on contact was dropped",
    ),
    "sequence starts again": _drift(
        "ALTER SEQUENCE public.invoice_number MAXVALUE 9 CYCLE",
        "ALTER SEQUENCE public.invoice_number NO MAXVALUE NO CYCLE",
        "relation invoice_number was changed",
    ),
    "event trigger is disabled": _drift(
        "ALTER EVENT TRIGGER watch_ddl DISABLE",
        "ALTER EVENT TRIGGER watch_ddl ENABLE",
        "event_trigger watch_ddl was changed",
    ),
    "type may not be used": _drift(
        "REVOKE USAGE ON TYPE public.user_role FROM PUBLIC",
        "",
        "enum user_role was changed",
    ),
}


def _lost(does: str, told: str, phase: str = "rls") -> Fault:
    return Fault(does, "", "data_kept", told, phase)


FAULTS |= {
    "nobody has a second factor": _lost(
        "DELETE FROM public.user_mfa_methods;"
        " REFRESH MATERIALIZED VIEW public.user_mfa_status_unified",
        "0 users with an active method (expected at least 76",
        "mfa",
    ),
    "backup codes are emptied": _lost(
        "UPDATE public.users SET mfa_backup_codes = NULL",
        "0 users with backup codes (expected at least 32",
        "mfa",
    ),
    "keys are emptied": _lost(
        "INSERT INTO public.user_mfa_methods (user_id, method_type, status)"
        " SELECT id, 'webauthn', 'active' FROM public.users;"
        " REFRESH MATERIALIZED VIEW public.user_mfa_status_unified",
        "active methods without what they verify with (expected at most 0",
        "mfa",
    ),
    "everybody is suspended": _lost(
        "UPDATE public.users SET status = 'suspended'",
        "client: 0 active users (expected at least 140.4",
        "mfa",
    ),
    "people who sign up get no row": _lost(
        "ALTER TABLE auth.users DISABLE TRIGGER on_auth_user_created;"
        " INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), 'new@loom.example');"
        " ALTER TABLE auth.users ENABLE TRIGGER on_auth_user_created",
        "1 accounts without a user (expected at most 0",
        "security",
    ),
    "addresses are cut off": _lost(
        "UPDATE public.users SET email = left(email, 8) || left(id::text, 3)",
        "200 users with another e-mail address than their account (expected at most 0",
        "mfa",
    ),
    "shares are deleted": _lost(
        "DELETE FROM public.file_shares", "0 shares (expected at least 1539.2"
    ),
    "collections get another owner": _lost(
        "UPDATE public.resource_collections SET name = left(id::text, 30), coach_id ="
        " (SELECT id FROM public.users WHERE role = 'coach' ORDER BY id LIMIT 1)",
        "ownership_mismatch: 3653 findings (expected at most 2",
    ),
    "collections are archived": _lost(
        "UPDATE public.resource_collections SET is_archived = true",
        "0 collections in use (expected at least 250.2",
    ),
    "the library is published": _lost(
        "UPDATE public.file_uploads SET is_public = true",
        "chosen: 0 files (expected at least 1061.6",
    ),
    "coaches are clients": _lost(
        "UPDATE public.users SET role = 'client' WHERE role = 'coach'",
        "invalid_coach: 317 findings (expected at most 0",
    ),
    "the audit log is emptied": Fault(
        "DELETE FROM public.security_audit_log WHERE event_type LIKE 'login%';"
        " ANALYZE public.security_audit_log",
        "",
        "data_kept",
        "security_audit_log: 27 estimated rows (expected at least",
        "security",
    ),
}
"""The numbers are those of the seed."""

BEFORE = """
ALTER SCHEMA auth OWNER TO supabase_admin;  -- the platform's, as on Supabase
CREATE DOMAIN public.contact AS text CONSTRAINT contact_check CHECK (VALUE LIKE '%@%');
CREATE SEQUENCE public.invoice_number;
CREATE FUNCTION public.watch_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watch_ddl ON ddl_command_end EXECUTE FUNCTION public.watch_ddl();
"""
"""What there has to be before the deployment for these faults."""

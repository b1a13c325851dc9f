-- Phase 2: the policies of the resource library ask for file_id, and clients see what was shared with them.

BEGIN;

SET LOCAL lock_timeout = '5s';

-- ── What is shared with the caller ──────────────────────────────────────────────────────────────────────────────
-- A collection is visible because of its items, an item because of its collection. Written as policies that read each
-- other's table, that is infinite recursion (42P17). So the clients' half of the answer comes from functions that read
-- with their owner's rights, past the policies. They take no argument, so nobody can ask about somebody else, and live
-- in a schema that the API does not expose.

CREATE SCHEMA private;
GRANT USAGE ON SCHEMA private TO authenticated, service_role;

CREATE FUNCTION private.file_ids_shared_with_caller() RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' ROWS 20
AS $$
    SELECT s.file_id
    FROM public.file_shares AS s
    WHERE s.shared_with = (SELECT auth.uid()) AND (s.expires_at IS NULL OR s.expires_at > now())
    UNION
    -- For all clients, that is: for all of this coach.
    SELECT f.id
    FROM public.file_uploads AS f
    WHERE f.shared_with_all_clients
      AND f.user_id IN (SELECT c.coach_id FROM public.sessions AS c WHERE c.client_id = (SELECT auth.uid()))
$$;

CREATE FUNCTION private.collection_ids_shared_with_caller() RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' ROWS 10
AS $$
    SELECT DISTINCT i.collection_id
    FROM public.resource_collection_items AS i
    WHERE i.file_id IN (SELECT private.file_ids_shared_with_caller())
$$;

REVOKE ALL ON FUNCTION private.file_ids_shared_with_caller() FROM PUBLIC;
REVOKE ALL ON FUNCTION private.collection_ids_shared_with_caller() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION private.file_ids_shared_with_caller() TO authenticated, service_role;
GRANT EXECUTE ON FUNCTION private.collection_ids_shared_with_caller() TO authenticated, service_role;

-- ── Fixed: file_id, where it was resource_id ────────────────────────────────────────────────────────────────────
-- (SELECT auth.uid()) is evaluated once for the statement, auth.uid() once for each row.

DROP POLICY "Coaches can add items to their collections" ON public.resource_collection_items;
CREATE POLICY "Coaches can add items to their collections" ON public.resource_collection_items
    FOR INSERT TO authenticated
    WITH CHECK (
        EXISTS (
            SELECT 1 FROM public.resource_collections AS c
            WHERE c.id = resource_collection_items.collection_id AND c.coach_id = (SELECT auth.uid())
        )
        AND EXISTS (
            SELECT 1 FROM public.file_uploads AS f
            WHERE f.id = resource_collection_items.file_id AND f.user_id = (SELECT auth.uid())
        )
    );

DROP POLICY "Coaches can view progress for their resources" ON public.resource_client_progress;
-- client_id first: a client who reads or writes their own progress, which another policy allows, causes no look at files.
CREATE POLICY "Coaches can view progress for their resources" ON public.resource_client_progress
    FOR SELECT TO authenticated
    USING (
        client_id <> (SELECT auth.uid())
        AND file_id IN (SELECT f.id FROM public.file_uploads AS f WHERE f.user_id = (SELECT auth.uid()))
    );

-- ── Added: the clients' view ────────────────────────────────────────────────────────────────────────────────────

CREATE POLICY "Clients can view shared collection items" ON public.resource_collection_items
    FOR SELECT TO authenticated
    USING (file_id IN (SELECT private.file_ids_shared_with_caller()));

-- coach_id first, likewise: for one's own collections the function need not be called at all.
CREATE POLICY "Clients can view collections with shared items" ON public.resource_collections
    FOR SELECT TO authenticated
    USING (
        coach_id <> (SELECT auth.uid())
        AND NOT is_archived
        AND id IN (SELECT private.collection_ids_shared_with_caller())
    );

-- ── Kept, and made cheaper ──────────────────────────────────────────────────────────────────────────────────────
-- The same meaning, with the caller and their collections looked up once rather than for each row.

ALTER POLICY "Coaches can view their own collections" ON public.resource_collections
    USING (coach_id = (SELECT auth.uid()));
ALTER POLICY "Coaches can view their collection items" ON public.resource_collection_items
    USING (collection_id IN (
        SELECT c.id FROM public.resource_collections AS c WHERE c.coach_id = (SELECT auth.uid())
    ));
ALTER POLICY "Clients can view their own progress" ON public.resource_client_progress
    USING (client_id = (SELECT auth.uid()));

-- Both halves of every policy count: an INSERT policy keeps its condition in polwithcheck and has no polqual.
DO $$
BEGIN
    IF EXISTS (
        SELECT 1
        FROM pg_policy AS p
        JOIN pg_depend AS d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
        JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
          AND d.refobjid = p.polrelid AND a.attname = 'resource_id'
    ) THEN
        RAISE EXCEPTION 'a policy still asks for resource_id';
    END IF;
END
$$;

INSERT INTO public.security_audit_log (event_type, event_details, severity)
VALUES ('rls_policy_fix', '{"policies_fixed": 2, "policies_added": 2}', 'critical');

INSERT INTO supabase_migrations.schema_migrations (version, name)
VALUES ('20251021000002', 'fix_resource_library_rls_policies');

COMMIT;

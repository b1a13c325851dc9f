-- Phase 2, with the defects of the deployment that this demo is modelled on. It applies without an error.
--
-- Defect: the new policy on resource_collections reads resource_collection_items, whose policies read
-- resource_collections. PostgreSQL finds the circle only when somebody reads: every SELECT of an API role on either
-- table fails with 42P17. The owner, whom row-level security does not concern, sees nothing unusual.

BEGIN;

DROP POLICY "Coaches can add items to their collections" ON public.resource_collection_items;
CREATE POLICY "Coaches can add items to their collections" ON public.resource_collection_items FOR INSERT
    WITH CHECK (
        EXISTS (
            SELECT 1 FROM public.resource_collections c
            WHERE c.id = resource_collection_items.collection_id AND c.coach_id = auth.uid()
        )
        AND EXISTS (
            SELECT 1 FROM public.file_uploads f
            WHERE f.id = resource_collection_items.file_id AND f.user_id = auth.uid()
        )
    );

DROP POLICY "Coaches can view progress for their resources" ON public.resource_client_progress;
CREATE POLICY "Coaches can view progress for their resources" ON public.resource_client_progress FOR SELECT
    USING (EXISTS (
        SELECT 1 FROM public.file_uploads f
        WHERE f.id = resource_client_progress.file_id AND f.user_id = auth.uid()
    ));

CREATE POLICY "Clients can view shared collection items" ON public.resource_collection_items FOR SELECT
    USING (EXISTS (
        SELECT 1 FROM public.file_shares s
        WHERE s.file_id = resource_collection_items.file_id AND s.shared_with = auth.uid()
          AND (s.expires_at IS NULL OR s.expires_at > now())
    ));

-- Here the circle closes: collections → items → ("Coaches can view their collection items") → collections.
CREATE POLICY "Clients can view collections with shared items" ON public.resource_collections FOR SELECT
    USING (EXISTS (
        SELECT 1
        FROM public.resource_collection_items i
        JOIN public.file_shares s ON s.file_id = i.file_id
        WHERE i.collection_id = resource_collections.id AND s.shared_with = auth.uid()
          AND (s.expires_at IS NULL OR s.expires_at > now())
    ));

INSERT INTO public.security_audit_log (event_type, event_details, severity)
VALUES ('rls_policy_fix', '{"policies_fixed": 2, "policies_added": 2}', 'critical');

INSERT INTO supabase_migrations.schema_migrations (version, name)
VALUES ('20251021000002', 'fix_resource_library_rls_policies');

COMMIT;

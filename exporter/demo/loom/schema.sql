-- Loom as it is on the morning of the deployment. Run by `postgres`, after roles.sql.
--
-- It is meant to be imperfect in the ways that the three migrations set out to repair: most SECURITY DEFINER functions
-- have no search_path, two policies look at a legacy column, and users.mfa_enabled may disagree with the methods.
-- It has no policy cycle: where one shows up later, the deployment brought it.

BEGIN;

-- ── auth, storage: what the platform brings ─────────────────────────────────────────────────────────────────────

CREATE TABLE auth.users (
    id uuid PRIMARY KEY,
    email text,
    raw_user_meta_data jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The claims of the request's token. The setting is missing in a fresh session and '' after a transaction that set it.
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE
    RETURN nullif(current_setting('request.jwt.claims', true), '')::jsonb;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE
    RETURN (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;
CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE
    RETURN nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role';

CREATE TABLE storage.buckets (
    id text PRIMARY KEY,
    name text NOT NULL UNIQUE,
    public boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE storage.buckets ENABLE ROW LEVEL SECURITY;
INSERT INTO storage.buckets (id, name) VALUES ('resources', 'resources'), ('uploads', 'uploads');

-- ── Types ───────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TYPE public.user_role AS ENUM ('client', 'coach', 'admin');
CREATE TYPE public.user_status AS ENUM ('active', 'inactive', 'suspended');
CREATE TYPE public.session_status AS ENUM ('scheduled', 'in_progress', 'completed', 'cancelled', 'rescheduled');
CREATE TYPE public.mfa_method_type AS ENUM ('totp', 'sms', 'email', 'webauthn');
CREATE TYPE public.mfa_status AS ENUM ('pending', 'active', 'disabled', 'suspended');
CREATE TYPE public.mfa_verification_status AS ENUM ('success', 'failed', 'expired', 'rate_limited');
CREATE TYPE public.file_permission_type AS ENUM ('view', 'download', 'edit');

-- ── People ──────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE public.users (
    id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE,
    email text NOT NULL UNIQUE,
    role public.user_role NOT NULL DEFAULT 'client',
    first_name text,
    last_name text,
    status public.user_status NOT NULL DEFAULT 'active',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz,
    -- Nullable on purpose: NULL is neither equal nor unequal to anything, and that hides users from `<>`.
    mfa_enabled boolean DEFAULT false,
    mfa_secret text,
    mfa_backup_codes text[],
    mfa_verified_at timestamptz,
    mfa_setup_completed boolean DEFAULT false,
    remember_device_enabled boolean DEFAULT false
);
CREATE INDEX idx_users_mfa_enabled ON public.users (mfa_enabled);

CREATE TABLE public.sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    coach_id uuid NOT NULL REFERENCES public.users ON DELETE CASCADE,
    client_id uuid NOT NULL REFERENCES public.users ON DELETE CASCADE,
    title text NOT NULL,
    scheduled_at timestamptz NOT NULL,
    status public.session_status NOT NULL DEFAULT 'scheduled',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_sessions_coach ON public.sessions (coach_id, scheduled_at);
CREATE INDEX idx_sessions_client ON public.sessions (client_id, scheduled_at);

-- ── Multi-factor authentication: four places that each claim to know ────────────────────────────────────────────

CREATE TABLE public.user_mfa_methods (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES public.users ON DELETE CASCADE,
    method_type public.mfa_method_type NOT NULL,
    status public.mfa_status NOT NULL DEFAULT 'pending',
    method_name text,
    secret_encrypted bytea,
    secret_salt bytea,
    phone_number text,
    email_address text,
    credential_id text,
    public_key bytea,
    last_used_at timestamptz,
    failure_count int NOT NULL DEFAULT 0,
    locked_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT totp_has_secret
        CHECK (method_type <> 'totp' OR (secret_encrypted IS NOT NULL AND secret_salt IS NOT NULL)),
    CONSTRAINT sms_has_phone CHECK (method_type <> 'sms' OR phone_number IS NOT NULL)
);
-- Every MFA status check leans on this index; the demo's scenario `regression` loses it.
CREATE INDEX idx_user_mfa_methods_user_status ON public.user_mfa_methods (user_id, status);

CREATE TABLE public.user_mfa_settings (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL UNIQUE REFERENCES public.users ON DELETE CASCADE,
    is_enabled boolean NOT NULL DEFAULT false,
    is_enforced boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE public.user_mfa (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL UNIQUE REFERENCES public.users ON DELETE CASCADE,
    is_enabled boolean NOT NULL DEFAULT false,
    secret_key text,
    backup_codes text[],
    verified_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE public.mfa_verification_attempts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES public.users ON DELETE CASCADE,
    method_id uuid REFERENCES public.user_mfa_methods ON DELETE SET NULL,
    method_type public.mfa_method_type NOT NULL,
    status public.mfa_verification_status NOT NULL,
    processing_time_ms int,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_mfa_verification_attempts_created ON public.mfa_verification_attempts (created_at);
CREATE INDEX idx_mfa_verification_attempts_user ON public.mfa_verification_attempts (user_id, created_at);

-- ── Audit log ───────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE public.security_audit_log (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid REFERENCES public.users ON DELETE SET NULL,
    event_type text NOT NULL,
    event_details jsonb NOT NULL DEFAULT '{}',
    ip_address inet,
    user_agent text,
    timestamp timestamptz DEFAULT now(),
    severity text NOT NULL DEFAULT 'info' CHECK (severity IN ('info', 'warning', 'error', 'critical'))
);
CREATE INDEX idx_security_audit_log_timestamp ON public.security_audit_log (timestamp);
CREATE INDEX idx_security_audit_log_event_type ON public.security_audit_log (event_type);
CREATE INDEX idx_security_audit_log_severity ON public.security_audit_log (severity);

-- ── Files and the resource library ──────────────────────────────────────────────────────────────────────────────

CREATE TABLE public.file_uploads (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES public.users ON DELETE CASCADE,
    session_id uuid REFERENCES public.sessions ON DELETE SET NULL,
    filename text NOT NULL,
    original_filename text NOT NULL,
    storage_path text NOT NULL UNIQUE,
    file_type text NOT NULL,
    file_size bigint NOT NULL,
    bucket_name text NOT NULL DEFAULT 'uploads',
    is_shared boolean NOT NULL DEFAULT false,
    download_count int NOT NULL DEFAULT 0,
    is_library_resource boolean NOT NULL DEFAULT false,
    is_public boolean NOT NULL DEFAULT false,
    shared_with_all_clients boolean NOT NULL DEFAULT false,
    view_count int NOT NULL DEFAULT 0,
    completion_count int NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_file_uploads_user ON public.file_uploads (user_id);
CREATE INDEX idx_file_uploads_public ON public.file_uploads (created_at DESC) WHERE is_public;

CREATE TABLE public.file_shares (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    file_id uuid NOT NULL REFERENCES public.file_uploads ON DELETE CASCADE,
    shared_by uuid NOT NULL REFERENCES public.users ON DELETE CASCADE,
    shared_with uuid NOT NULL REFERENCES public.users ON DELETE CASCADE,
    permission_type public.file_permission_type NOT NULL DEFAULT 'view',
    expires_at timestamptz,
    access_count int NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (file_id, shared_by, shared_with)
);
CREATE INDEX idx_file_shares_shared_with ON public.file_shares (shared_with, file_id);

CREATE TABLE public.resource_collections (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    coach_id uuid NOT NULL REFERENCES public.users ON DELETE CASCADE,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    description text,
    icon text,
    sort_order int NOT NULL DEFAULT 0,
    is_archived boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (coach_id, name)
);
CREATE INDEX idx_resource_collections_coach ON public.resource_collections (coach_id, is_archived);

CREATE TABLE public.resource_collection_items (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    collection_id uuid NOT NULL REFERENCES public.resource_collections ON DELETE CASCADE,
    file_id uuid NOT NULL,
    -- From before files and resources became one table. Nothing fills it any more; a policy still asks it.
    resource_id uuid,
    sort_order int NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (collection_id, file_id),
    CONSTRAINT resource_collection_items_file_id_fkey
        FOREIGN KEY (file_id) REFERENCES public.file_uploads ON DELETE CASCADE
);
CREATE INDEX idx_resource_collection_items_collection ON public.resource_collection_items (collection_id, sort_order);
CREATE INDEX idx_resource_collection_items_file ON public.resource_collection_items (file_id);

CREATE TABLE public.resource_library_settings (
    coach_id uuid PRIMARY KEY REFERENCES public.users ON DELETE CASCADE,
    default_permission public.file_permission_type NOT NULL DEFAULT 'view',
    storage_limit_mb int NOT NULL DEFAULT 1024,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE public.resource_client_progress (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    file_id uuid NOT NULL,
    resource_id uuid,
    client_id uuid NOT NULL REFERENCES public.users ON DELETE CASCADE,
    viewed_at timestamptz,
    completed_at timestamptz,
    last_accessed_at timestamptz,
    access_count int NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (file_id, client_id),
    CONSTRAINT resource_client_progress_file_id_fkey
        FOREIGN KEY (file_id) REFERENCES public.file_uploads ON DELETE CASCADE
);
CREATE INDEX idx_resource_client_progress_client ON public.resource_client_progress (client_id, completed_at);
CREATE INDEX idx_resource_client_progress_file ON public.resource_client_progress (file_id, last_accessed_at DESC);

-- ── SECURITY DEFINER functions: 22, of which 20 run with the caller's search_path ───────────────────────────────
-- Unqualified names in a function that runs with its owner's rights: whoever chooses the path chooses the table.

CREATE FUNCTION public.is_admin() RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
BEGIN
    RETURN EXISTS (SELECT 1 FROM users WHERE id = auth.uid() AND role = 'admin');
END
$$;

CREATE FUNCTION public.is_coach() RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
BEGIN
    RETURN EXISTS (SELECT 1 FROM users WHERE id = auth.uid() AND role = 'coach');
END
$$;

CREATE FUNCTION public.is_client() RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
BEGIN
    RETURN EXISTS (SELECT 1 FROM users WHERE id = auth.uid() AND role = 'client');
END
$$;

CREATE FUNCTION public.get_user_role(p_user_id uuid) RETURNS public.user_role
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT role FROM users WHERE id = p_user_id
$$;

CREATE FUNCTION public.handle_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO users (id, email, role, first_name, last_name, created_at)
    VALUES (
        NEW.id,
        NEW.email,
        coalesce(NEW.raw_user_meta_data ->> 'role', 'client')::user_role,
        NEW.raw_user_meta_data ->> 'first_name',
        NEW.raw_user_meta_data ->> 'last_name',
        NEW.created_at
    );
    RETURN NEW;
END
$$;

CREATE FUNCTION public.touch_last_seen() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    UPDATE users SET last_seen_at = now() WHERE id = auth.uid()
$$;

CREATE FUNCTION public.get_coach_client_count(p_coach_id uuid) RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT count(DISTINCT client_id) FROM sessions WHERE coach_id = p_coach_id
$$;

CREATE FUNCTION public.get_coach_session_count(p_coach_id uuid, p_status public.session_status) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT count(*) FROM sessions WHERE coach_id = p_coach_id AND status = p_status
$$;

CREATE FUNCTION public.get_coach_collection_count(p_coach_id uuid) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT count(*) FROM resource_collections WHERE coach_id = p_coach_id AND NOT is_archived
$$;

CREATE FUNCTION public.get_collection_item_count(p_collection_id uuid) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT count(*) FROM resource_collection_items WHERE collection_id = p_collection_id
$$;

CREATE FUNCTION public.archive_collection(p_collection_id uuid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE resource_collections SET is_archived = true, updated_at = now()
    WHERE id = p_collection_id AND coach_id = auth.uid();
    RETURN FOUND;
END
$$;

CREATE FUNCTION public.increment_file_download_count(p_file_id uuid) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    UPDATE file_uploads SET download_count = download_count + 1 WHERE id = p_file_id
$$;

CREATE FUNCTION public.get_shared_file_count(p_user_id uuid) RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT count(*) FROM file_shares WHERE shared_with = p_user_id AND (expires_at IS NULL OR expires_at > now())
$$;

CREATE FUNCTION public.track_resource_view(p_file_id uuid, p_client_id uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER AS $$
    INSERT INTO resource_client_progress (file_id, client_id, viewed_at, last_accessed_at, access_count)
    VALUES (p_file_id, p_client_id, now(), now(), 1)
    ON CONFLICT (file_id, client_id) DO UPDATE
    SET last_accessed_at = now(), access_count = resource_client_progress.access_count + 1
$$;

CREATE FUNCTION public.mark_resource_completed(p_file_id uuid, p_client_id uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE resource_client_progress SET completed_at = now(), last_accessed_at = now()
    WHERE file_id = p_file_id AND client_id = p_client_id AND completed_at IS NULL;
    RETURN FOUND;
END
$$;

CREATE FUNCTION public.get_client_progress_summary(p_client_id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT jsonb_build_object('viewed', count(viewed_at), 'completed', count(completed_at))
    FROM resource_client_progress WHERE client_id = p_client_id
$$;

CREATE FUNCTION public.user_has_active_mfa(p_user_id uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT EXISTS (SELECT 1 FROM user_mfa_methods WHERE user_id = p_user_id AND status = 'active')
$$;

CREATE FUNCTION public.get_mfa_backup_code_count(p_user_id uuid) RETURNS int LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT coalesce(cardinality(mfa_backup_codes), 0) FROM users WHERE id = p_user_id
$$;

CREATE FUNCTION public.reset_mfa_failures(p_method_id uuid) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    UPDATE user_mfa_methods SET failure_count = 0, locked_until = NULL
    WHERE id = p_method_id AND user_id = auth.uid()
$$;

CREATE FUNCTION public.count_recent_mfa_failures(p_user_id uuid) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT count(*) FROM mfa_verification_attempts
    WHERE user_id = p_user_id AND status = 'failed' AND created_at > now() - interval '15 minutes'
$$;

-- These two were written last, and with care.
CREATE FUNCTION public.log_security_event(p_event_type text, p_details jsonb, p_severity text DEFAULT 'info')
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO security_audit_log (user_id, event_type, event_details, severity)
    VALUES (auth.uid(), p_event_type, p_details, p_severity)
$$;

CREATE FUNCTION public.delete_expired_shares() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH gone AS (DELETE FROM file_shares WHERE expires_at < now() - interval '30 days' RETURNING 1)
    SELECT count(*) FROM gone
$$;

CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users
    FOR EACH ROW EXECUTE FUNCTION public.handle_new_user();

-- ── Row-level security ──────────────────────────────────────────────────────────────────────────────────────────
-- Policies reach other tables in one direction only: progress → file_uploads → file_shares, items → collections,
-- items → file_uploads, users → sessions. is_admin() reads users with its owner's rights, so it closes no circle.

ALTER TABLE public.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.user_mfa_methods ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.user_mfa_settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.user_mfa ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.mfa_verification_attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.security_audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.file_uploads ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.file_shares ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.resource_collections ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.resource_collection_items ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.resource_library_settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.resource_client_progress ENABLE ROW LEVEL SECURITY;

CREATE POLICY "Users can view their own profile" ON public.users FOR SELECT USING (id = auth.uid());
CREATE POLICY "Users can update their own profile" ON public.users FOR UPDATE
    USING (id = auth.uid()) WITH CHECK (id = auth.uid());
CREATE POLICY "Coaches can view their clients" ON public.users FOR SELECT TO authenticated
    USING (EXISTS (SELECT 1 FROM public.sessions s WHERE s.client_id = users.id AND s.coach_id = auth.uid()));
CREATE POLICY "Admins can view all profiles" ON public.users FOR SELECT TO authenticated USING (public.is_admin());

CREATE POLICY "Participants can view their sessions" ON public.sessions FOR SELECT
    USING (coach_id = auth.uid() OR client_id = auth.uid());
CREATE POLICY "Coaches can create sessions" ON public.sessions FOR INSERT WITH CHECK (coach_id = auth.uid());
CREATE POLICY "Coaches can update their sessions" ON public.sessions FOR UPDATE USING (coach_id = auth.uid());

CREATE POLICY "Users can view their own methods" ON public.user_mfa_methods FOR SELECT USING (user_id = auth.uid());
CREATE POLICY "Users can add their own methods" ON public.user_mfa_methods FOR INSERT WITH CHECK (user_id = auth.uid());
CREATE POLICY "Users can update their own methods" ON public.user_mfa_methods FOR UPDATE USING (user_id = auth.uid());
CREATE POLICY "Users can remove their own methods" ON public.user_mfa_methods FOR DELETE USING (user_id = auth.uid());

CREATE POLICY "Users can manage their own MFA settings" ON public.user_mfa_settings
    USING (user_id = auth.uid()) WITH CHECK (user_id = auth.uid());
CREATE POLICY "Users can manage their own MFA" ON public.user_mfa
    USING (user_id = auth.uid()) WITH CHECK (user_id = auth.uid());

CREATE POLICY "Users can view their own attempts" ON public.mfa_verification_attempts FOR SELECT
    USING (user_id = auth.uid());
CREATE POLICY "Users can record their own attempts" ON public.mfa_verification_attempts FOR INSERT
    WITH CHECK (user_id = auth.uid());

CREATE POLICY "Admins can view the audit log" ON public.security_audit_log FOR SELECT USING (public.is_admin());
-- Anyone may write, even anon: an event in this log is a claim, not a proof.
CREATE POLICY "System can insert audit events" ON public.security_audit_log FOR INSERT WITH CHECK (true);

CREATE POLICY "Users can manage their own files" ON public.file_uploads
    USING (user_id = auth.uid()) WITH CHECK (user_id = auth.uid());
CREATE POLICY "Anyone can view public resources" ON public.file_uploads FOR SELECT
    USING (is_public AND is_library_resource);
CREATE POLICY "Users can view files shared with them" ON public.file_uploads FOR SELECT TO authenticated
    USING (EXISTS (
        SELECT 1 FROM public.file_shares s
        WHERE s.file_id = file_uploads.id AND s.shared_with = auth.uid()
          AND (s.expires_at IS NULL OR s.expires_at > now())
    ));

-- shared_by alone decides, without a look at file_uploads: that look would close a circle with the policy above.
CREATE POLICY "Users can manage the shares they gave" ON public.file_shares
    USING (shared_by = auth.uid()) WITH CHECK (shared_by = auth.uid());
CREATE POLICY "Users can view the shares they got" ON public.file_shares FOR SELECT USING (shared_with = auth.uid());

CREATE POLICY "Coaches can view their own collections" ON public.resource_collections FOR SELECT
    USING (coach_id = auth.uid());
CREATE POLICY "Coaches can create their own collections" ON public.resource_collections FOR INSERT
    WITH CHECK (coach_id = auth.uid());
CREATE POLICY "Coaches can update their own collections" ON public.resource_collections FOR UPDATE
    USING (coach_id = auth.uid()) WITH CHECK (coach_id = auth.uid());
CREATE POLICY "Coaches can delete their own collections" ON public.resource_collections FOR DELETE
    USING (coach_id = auth.uid());

CREATE POLICY "Coaches can view their collection items" ON public.resource_collection_items FOR SELECT
    USING (EXISTS (
        SELECT 1 FROM public.resource_collections c
        WHERE c.id = resource_collection_items.collection_id AND c.coach_id = auth.uid()
    ));
-- Broken: resource_id is NULL in every new item, so no coach can add anything.
CREATE POLICY "Coaches can add items to their collections" ON public.resource_collection_items FOR INSERT
    WITH CHECK (
        EXISTS (
            SELECT 1 FROM public.resource_collections c
            WHERE c.id = resource_collection_items.collection_id AND c.coach_id = auth.uid()
        )
        AND EXISTS (
            SELECT 1 FROM public.file_uploads f
            WHERE f.id = resource_collection_items.resource_id AND f.user_id = auth.uid()
        )
    );
CREATE POLICY "Coaches can update their collection items" ON public.resource_collection_items FOR UPDATE
    USING (EXISTS (
        SELECT 1 FROM public.resource_collections c
        WHERE c.id = resource_collection_items.collection_id AND c.coach_id = auth.uid()
    ));
CREATE POLICY "Coaches can remove their collection items" ON public.resource_collection_items FOR DELETE
    USING (EXISTS (
        SELECT 1 FROM public.resource_collections c
        WHERE c.id = resource_collection_items.collection_id AND c.coach_id = auth.uid()
    ));

CREATE POLICY "Coaches can manage their library settings" ON public.resource_library_settings
    USING (coach_id = auth.uid()) WITH CHECK (coach_id = auth.uid());

CREATE POLICY "Clients can view their own progress" ON public.resource_client_progress FOR SELECT
    USING (client_id = auth.uid());
CREATE POLICY "Clients can create their own progress" ON public.resource_client_progress FOR INSERT
    WITH CHECK (client_id = auth.uid());
CREATE POLICY "Clients can update their own progress" ON public.resource_client_progress FOR UPDATE
    USING (client_id = auth.uid()) WITH CHECK (client_id = auth.uid());
-- Broken in the same way: coaches see no progress at all.
CREATE POLICY "Coaches can view progress for their resources" ON public.resource_client_progress FOR SELECT
    USING (EXISTS (
        SELECT 1 FROM public.file_uploads f
        WHERE f.id = resource_client_progress.resource_id AND f.user_id = auth.uid()
    ));

-- ── Migration history, as the Supabase CLI keeps it: no time of application ─────────────────────────────────────

CREATE TABLE supabase_migrations.schema_migrations (
    version text PRIMARY KEY,
    statements text[],
    name text
);
INSERT INTO supabase_migrations.schema_migrations (version, name) VALUES
    ('20250704000001', 'users_and_sessions'),
    ('20250727000001', 'security_audit_log'),
    ('20250730000001', 'mfa_tables'),
    ('20250730000002', 'mfa_functions'),
    ('20250807000002', 'file_uploads'),
    ('20250807000003', 'file_shares'),
    ('20251009000001', 'resource_library'),
    ('20251009000002', 'resource_library_rls');

COMMIT;

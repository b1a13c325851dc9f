-- Two hundred people, and what they left behind. Run by `postgres`, after schema.sql.
--
-- Who has what follows from arithmetic on row numbers, and ids are hashes of names, so every run gives the same
-- database; only the clock differs, because "in the last day" has to be true whenever the demo is started.
--
-- What the exporter should find before the deployment:
--   200 users (1 admin, 39 coaches, 160 clients); 80 with an active method, 76 with the flag set
--   14 discrepancies, 12 of them visible to `<>`, 2 hidden by a NULL flag
--   resource library: orphaned_items 3, non_library_items 2, orphaned_progress 2, non_library_progress 4,
--   empty_collections 3, duplicate_items 0 (a constraint forbids them), ownership_mismatch 2, progress_no_share 5,
--   invalid_coach 1, invalid_client 2

BEGIN;

SELECT setseed(0.2025);

-- ── People: number 1 is the admin, 2–40 coach, 41–200 are clients ───────────────────────────────────────────────

CREATE TEMPORARY TABLE person ON COMMIT DROP AS
SELECT
    n,
    md5('user-' || n)::uuid AS id,
    CASE WHEN n = 1 THEN 'admin' WHEN n <= 40 THEN 'coach' ELSE 'client' END AS role,
    -- Every client has one coach.
    CASE WHEN n > 40 THEN md5('user-' || 2 + n % 39)::uuid END AS coach_id,
    -- 80 people use MFA: 0 and 1 of every five.
    n % 5 < 2 AS has_active_method
FROM generate_series(1, 200) AS n;

-- The trigger on auth.users makes the profile.
INSERT INTO auth.users (id, email, raw_user_meta_data, created_at)
SELECT
    id,
    role || n || '@loom.example',
    jsonb_build_object(
        'role', role,
        'first_name', (ARRAY['Noa', 'Amir', 'Tamar', 'Daniel', 'Maya', 'Yonatan', 'Shira', 'Omer'])[1 + n % 8],
        'last_name', (ARRAY['Levi', 'Cohen', 'Mizrahi', 'Peretz', 'Biton', 'Katz', 'Azulay'])[1 + n % 7]
    ),
    now() - make_interval(days => 30 + n)
FROM person;

-- The flag, mostly true to the methods. Fourteen are not:
--   7 use MFA and are flagged off, 5 do not and are flagged on: `<>` finds these twelve;
--   2 use MFA and have no flag at all: only IS DISTINCT FROM finds them.
UPDATE public.users AS u
SET mfa_enabled = CASE
        WHEN p.n IN (45, 60, 75, 90, 105, 120, 135) THEN false
        WHEN p.n IN (47, 62, 77, 92, 107) THEN true
        WHEN p.n IN (150, 165) THEN NULL
        ELSE p.has_active_method
    END,
    mfa_setup_completed = p.has_active_method,
    mfa_verified_at = CASE WHEN p.has_active_method THEN now() - make_interval(days => p.n % 30) END,
    -- Half of those who use MFA have drawn their backup codes. Hashes, as the application would store them.
    mfa_backup_codes = CASE WHEN p.has_active_method AND p.n % 2 = 0 THEN ARRAY(
        SELECT md5('backup-' || p.n || '-' || k) FROM generate_series(1, 8) AS k
    ) END,
    last_seen_at = now() - make_interval(mins => p.n * 17),
    status = (CASE WHEN p.n % 50 = 49 THEN 'inactive' WHEN p.n = 199 THEN 'suspended' ELSE 'active' END)::public.user_status
FROM person AS p
WHERE p.id = u.id;

INSERT INTO public.sessions (id, coach_id, client_id, title, scheduled_at, status)
SELECT
    md5('session-' || p.n || '-' || k)::uuid,
    p.coach_id,
    p.id,
    'Coaching session ' || k,
    date_trunc('hour', now()) + make_interval(days => 7 * (k - 4), hours => p.n % 9),
    (CASE WHEN k >= 5 THEN 'scheduled' WHEN (p.n + k) % 11 = 0 THEN 'cancelled' ELSE 'completed' END)::public.session_status
FROM person AS p, generate_series(1, 6) AS k
WHERE p.role = 'client';

-- ── MFA methods: 40 000 of the past, and the few that matter ────────────────────────────────────────────────────
-- Every renewed device leaves its predecessor behind as `disabled`. The application asks only for the living ones,
-- which an index finds at once, and which nothing finds quickly when that index is gone.

INSERT INTO public.user_mfa_methods (
    id, user_id, method_type, status, method_name, secret_encrypted, secret_salt,
    phone_number, email_address, credential_id, public_key, last_used_at, created_at, updated_at
)
SELECT
    md5('method-' || n || '-' || k)::uuid,
    id,
    kind,
    state,
    initcap(kind::text) || ' ' || k,
    CASE WHEN kind = 'totp' THEN decode(md5('secret-' || n || '-' || k), 'hex') END,
    CASE WHEN kind = 'totp' THEN decode(md5('salt-' || n || '-' || k), 'hex') END,
    CASE WHEN kind = 'sms' THEN '+97250' || lpad((n * 1000 + k)::text, 7, '0') END,
    CASE WHEN kind = 'email' THEN role || n || '@loom.example' END,
    CASE WHEN kind = 'webauthn' THEN md5('credential-' || n || '-' || k) END,
    CASE WHEN kind = 'webauthn' THEN decode(md5('key-' || n || '-' || k), 'hex') END,
    CASE WHEN state = 'active' THEN now() - make_interval(mins => n * 13) END,
    now() - make_interval(days => 400 - k),
    now() - make_interval(days => 400 - k)
FROM (
    -- k ≤ 200: the past
    SELECT n, id, role, k, 'disabled'::public.mfa_status AS state,
        ((enum_range(NULL::public.mfa_method_type))[1 + (n + k) % 4]) AS kind
    FROM person, generate_series(1, 200) AS k
    UNION ALL
    -- 201: what is in use. Dividing by five turns the person's number into a running number.
    SELECT n, id, role, 201, 'active', (enum_range(NULL::public.mfa_method_type))[1 + (n / 5) % 4]
    FROM person WHERE has_active_method
    UNION ALL
    -- 202: a second one
    SELECT n, id, role, 202, 'active', (enum_range(NULL::public.mfa_method_type))[1 + (n / 10) % 4]
    FROM person WHERE n % 10 = 0
    UNION ALL
    -- 203: begun and not finished, by some who have none yet and some who have
    SELECT n, id, role, 203, 'pending', (enum_range(NULL::public.mfa_method_type))[1 + (n / 8) % 4]
    FROM person WHERE n % 8 = 3
    UNION ALL
    -- 204: locked after too many failures
    SELECT n, id, role, 204, 'suspended', (enum_range(NULL::public.mfa_method_type))[1 + (n / 25) % 4]
    FROM person WHERE n % 25 = 7
) AS method
ORDER BY n, k;

UPDATE public.user_mfa_methods SET failure_count = 5, locked_until = now() + interval '1 hour' WHERE status = 'suspended';

-- The two older stores, each with its own opinion.
INSERT INTO public.user_mfa_settings (user_id, is_enabled, is_enforced)
SELECT id, has_active_method, role = 'admin' FROM person WHERE n % 3 <> 0;
INSERT INTO public.user_mfa (user_id, is_enabled, secret_key, verified_at)
SELECT id, n % 2 = 0, md5('legacy-' || n), now() - interval '200 days' FROM person WHERE n % 4 = 0;

-- Verification attempts through the last day, denser towards now; mostly successful.
INSERT INTO public.mfa_verification_attempts (user_id, method_id, method_type, status, processing_time_ms, created_at)
SELECT
    m.user_id,
    m.id,
    m.method_type,
    (CASE
        WHEN k % 29 = 0 THEN 'rate_limited' WHEN k % 23 = 0 THEN 'expired' WHEN k % 7 = 0 THEN 'failed' ELSE 'success'
    END)::public.mfa_verification_status,
    20 + (random() * 200)::int,
    now() - interval '1 day' * (0.99 * (k / 1200.0) ^ 2)
FROM generate_series(1, 1200) AS k
JOIN (
    SELECT row_number() OVER (ORDER BY id) AS position, id, user_id, method_type
    FROM public.user_mfa_methods WHERE status = 'active'
) AS m ON m.position = 1 + k % 80;

-- ── Files, shares, collections, progress ────────────────────────────────────────────────────────────────────────

-- Forty library resources for each coach: every 20th public, every 10th for all clients.
INSERT INTO public.file_uploads (
    id, user_id, filename, original_filename, storage_path, file_type, file_size, bucket_name,
    is_shared, is_library_resource, is_public, shared_with_all_clients, view_count, created_at, updated_at
)
SELECT
    md5('file-' || p.n || '-' || k)::uuid,
    p.id,
    format('resource-%s-%s.pdf', p.n, k),
    format('Worksheet %s.pdf', k),
    format('library/%s/%s.pdf', p.n, k),
    'application/pdf',
    20000 + k * 1000,
    'resources',
    true,
    true,
    k % 20 = 0,
    k % 10 = 5,
    (random() * 50)::int,
    now() - make_interval(days => 90 - k),
    now() - make_interval(days => 90 - k)
FROM person AS p, generate_series(1, 40) AS k
WHERE p.role = 'coach';

-- Three private uploads for each client: homework, not resources.
INSERT INTO public.file_uploads (id, user_id, filename, original_filename, storage_path, file_type, file_size, created_at)
SELECT
    md5('file-' || p.n || '-' || k)::uuid, p.id, format('homework-%s.docx', k), format('Homework %s.docx', k),
    format('uploads/%s/%s.docx', p.n, k), 'application/msword', 9000 + k, now() - make_interval(days => k)
FROM person AS p, generate_series(1, 3) AS k
WHERE p.role = 'client';

-- Each client got twelve files of their coach (1–12); the last share of every fifth client has run out.
INSERT INTO public.file_shares (file_id, shared_by, shared_with, permission_type, expires_at, created_at)
SELECT
    md5('file-' || 2 + p.n % 39 || '-' || k)::uuid,
    p.coach_id,
    p.id,
    ((enum_range(NULL::public.file_permission_type))[1 + k % 3]),
    CASE WHEN k = 12 AND p.n % 5 = 0 THEN now() - interval '3 days' END,
    now() - make_interval(days => 30 + k)
FROM person AS p, generate_series(1, 12) AS k
WHERE p.role = 'client';

-- Eight collections of twelve files for each coach; the eighth is archived.
INSERT INTO public.resource_collections (id, coach_id, name, icon, sort_order, is_archived, created_at)
SELECT
    md5('collection-' || p.n || '-' || k)::uuid,
    p.id,
    (ARRAY['Getting started', 'Breathing', 'Boundaries', 'Values', 'Sleep', 'Communication', 'Goals', 'Old material'])[k],
    (ARRAY['star', 'wind', 'fence', 'compass', 'moon', 'chat', 'flag', 'box'])[k],
    k,
    k = 8,
    now() - make_interval(days => 60 + k)
FROM person AS p, generate_series(1, 8) AS k
WHERE p.role = 'coach';

INSERT INTO public.resource_collection_items (collection_id, file_id, sort_order, created_at)
SELECT
    md5('collection-' || p.n || '-' || c)::uuid,
    md5('file-' || p.n || '-' || 1 + (c * 5 + k) % 40)::uuid,
    k,
    now() - make_interval(days => 50)
FROM person AS p, generate_series(1, 8) AS c, generate_series(1, 12) AS k
WHERE p.role = 'coach';

INSERT INTO public.resource_library_settings (coach_id) SELECT id FROM person WHERE role = 'coach';

-- Clients have opened everything they were given, and finished every third. So the workload's upserts find a row and
-- update it: were they to insert at first, the same statement would do different work before and after the deployment.
INSERT INTO public.resource_client_progress (file_id, client_id, viewed_at, completed_at, last_accessed_at, access_count)
SELECT
    md5('file-' || 2 + p.n % 39 || '-' || k)::uuid,
    p.id,
    now() - make_interval(days => k + 2),
    CASE WHEN (p.n + k) % 3 = 0 THEN now() - make_interval(days => k) END,
    now() - make_interval(hours => k * 5),
    1 + k % 4
FROM person AS p, generate_series(1, 12) AS k
WHERE p.role = 'client' AND NOT (k = 12 AND p.n % 5 = 0);

-- ── What is wrong with the library: a few rows for each check ───────────────────────────────────────────────────

-- For a while the foreign keys were missing, and files were deleted. The constraints came back NOT VALID: they bind
-- new rows and leave the old ones alone.
ALTER TABLE public.resource_collection_items DROP CONSTRAINT resource_collection_items_file_id_fkey;
ALTER TABLE public.resource_client_progress DROP CONSTRAINT resource_client_progress_file_id_fkey;

-- orphaned_items: 3
INSERT INTO public.resource_collection_items (collection_id, file_id, sort_order)
SELECT md5('collection-' || n || '-1')::uuid, md5('deleted-' || n)::uuid, 99 FROM generate_series(2, 4) AS n;
-- orphaned_progress: 2
INSERT INTO public.resource_client_progress (file_id, client_id, viewed_at, access_count)
SELECT md5('deleted-' || n - 48)::uuid, md5('user-' || n)::uuid, now() - interval '40 days', 1
FROM generate_series(50, 51) AS n;

ALTER TABLE public.resource_collection_items ADD CONSTRAINT resource_collection_items_file_id_fkey
    FOREIGN KEY (file_id) REFERENCES public.file_uploads ON DELETE CASCADE NOT VALID;
ALTER TABLE public.resource_client_progress ADD CONSTRAINT resource_client_progress_file_id_fkey
    FOREIGN KEY (file_id) REFERENCES public.file_uploads ON DELETE CASCADE NOT VALID;

-- non_library_items: 2, by coaches who put a plain upload of their own into a collection
-- non_library_progress: 4, by clients with whom such an upload is shared
INSERT INTO public.file_uploads (id, user_id, filename, original_filename, storage_path, file_type, file_size)
SELECT md5('plain-' || n)::uuid, md5('user-' || n)::uuid, 'notes.txt', 'Notes.txt', format('uploads/%s/notes.txt', n),
    'text/plain', 512
FROM generate_series(5, 6) AS n;
INSERT INTO public.resource_collection_items (collection_id, file_id, sort_order)
SELECT md5('collection-' || n || '-1')::uuid, md5('plain-' || n)::uuid, 98 FROM generate_series(5, 6) AS n;
INSERT INTO public.file_shares (file_id, shared_by, shared_with)
SELECT md5('plain-5')::uuid, md5('user-5')::uuid, md5('user-' || n)::uuid FROM generate_series(61, 64) AS n;
INSERT INTO public.resource_client_progress (file_id, client_id, viewed_at, access_count)
SELECT md5('plain-5')::uuid, md5('user-' || n)::uuid, now() - interval '9 days', 1 FROM generate_series(61, 64) AS n;

-- empty_collections: 3 older than a week, and a new one that is nobody's fault
INSERT INTO public.resource_collections (id, coach_id, name, created_at)
SELECT md5('empty-' || n)::uuid, md5('user-' || n)::uuid, 'Ideas',
    CASE WHEN n = 10 THEN now() - interval '2 days' ELSE now() - interval '20 days' END
FROM generate_series(7, 10) AS n;

-- ownership_mismatch: 2, a coach's collection with another coach's file
INSERT INTO public.resource_collection_items (collection_id, file_id, sort_order)
SELECT md5('collection-' || n || '-2')::uuid, md5('file-' || n + 1 || '-1')::uuid, 97 FROM generate_series(11, 12) AS n;

-- progress_no_share: 5, on a file of the client's coach that was never shared with them (31 is neither public nor for all)
INSERT INTO public.resource_client_progress (file_id, client_id, viewed_at, access_count)
SELECT md5('file-' || 2 + n % 39 || '-31')::uuid, md5('user-' || n)::uuid, now() - interval '12 days', 2
FROM generate_series(71, 75) AS n;

-- invalid_coach: 1, a client who owns a collection (not empty, so that it is found once)
INSERT INTO public.resource_collections (id, coach_id, name, created_at)
VALUES (md5('misowned')::uuid, md5('user-80')::uuid, 'My own material', now() - interval '30 days');
INSERT INTO public.file_uploads (
    id, user_id, filename, original_filename, storage_path, file_type, file_size, is_library_resource
) VALUES (
    md5('misowned-file')::uuid, md5('user-80')::uuid, 'journal.pdf', 'Journal.pdf', 'library/80/journal.pdf',
    'application/pdf', 4096, true
);
INSERT INTO public.resource_collection_items (collection_id, file_id) VALUES (md5('misowned')::uuid, md5('misowned-file')::uuid);

-- invalid_client: 2, coaches who tried a public resource as if they were clients
INSERT INTO public.resource_client_progress (file_id, client_id, viewed_at, access_count)
SELECT md5('file-20-20')::uuid, md5('user-' || n)::uuid, now() - interval '5 days', 1 FROM generate_series(21, 22) AS n;

-- ── The audit log of an ordinary day ────────────────────────────────────────────────────────────────────────────

INSERT INTO public.security_audit_log (user_id, event_type, event_details, ip_address, user_agent, timestamp, severity)
SELECT
    md5('user-' || 2 + (k * 7) % 199)::uuid,
    kind,
    jsonb_build_object('sequence', k),
    '203.0.113.0'::inet + k % 200,
    'Mozilla/5.0',
    now() - make_interval(mins => k * every),
    level
FROM (VALUES
    ('login_success', 'info', 150, 9),
    ('mfa_backup_codes_generated', 'info', 18, 75),
    ('role_change', 'warning', 3, 400),
    ('role_validation_failed', 'warning', 2, 610),
    ('login_failed', 'error', 12, 110)
) AS day (kind, level, times, every), generate_series(1, times) AS k;
-- A row without a time: the column allows it, and a reader that orders by it must cope.
INSERT INTO public.security_audit_log (event_type, timestamp, severity) VALUES ('login_success', NULL, 'info');

COMMIT;

-- Without this the first plans would be guesses, and the baseline would remember them.
ANALYZE public.users, public.sessions, public.user_mfa_methods, public.user_mfa_settings, public.user_mfa,
    public.mfa_verification_attempts, public.security_audit_log, public.file_uploads, public.file_shares,
    public.resource_collections, public.resource_collection_items, public.resource_library_settings,
    public.resource_client_progress, auth.users;

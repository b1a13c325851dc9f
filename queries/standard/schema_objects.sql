/*
description: Whether the schema is as it was, by kind of object, and how many objects of each kind there are.
phase: all
interval: 30s
timeout: 2s
metrics:
  loom_schema_objects:
    type: gauge
    help: Objects by kind, of the exposed schema and of the schemas it rests on, without extensions and partitions.
    labels: [kind]
    value: objects
    baseline: true
  loom_schema_changed_timestamp_seconds:
    type: change_timestamp
    help: Unix time at which an object of this kind was last seen to be created, changed or dropped.
    labels: [kind]
    value: token
*/
-- Why: a grant that is revoked, a policy that is opened or a default that is changed by hand makes no
-- query slower. The token is an object of JSON, with a hash for each object, so that a change can be
-- named. Stored trees are hashed as they are: pg_get_expr and the like would take locks. Grants are
-- sorted, because one that is revoked and given back stands at another place; no grants at all (NULL)
-- are the default ones. What changes by itself is left out: partitions, objects of extensions,
-- statistics, values of sequences, and the indexes that REINDEX CONCURRENTLY makes for a while.
-- The exposed schema rests on others: all schemas of the owner of the database are watched, but for
-- ours, and of those of the platform the policies, the triggers that call watched functions, and the
-- functions that policies, views, defaults and checks call, such as auth.uid().
-- Columns that not every version has are read by to_jsonb.
WITH exposed (nspname, place) AS (
    SELECT *
      FROM jsonb_array_elements_text(
               coalesce(nullif(current_setting('deployment.exposed_schemas', true), ''), '["public"]')::jsonb
           ) WITH ORDINALITY
),
watched AS (
    SELECT n.oid, n.nspowner, n.nspacl, n.nspname,
           CASE e.place WHEN 1 THEN '' ELSE n.nspname || '.' END AS prefix
      FROM pg_catalog.pg_namespace AS n
      LEFT JOIN exposed AS e USING (nspname)
     WHERE n.nspname !~ '^(pg_|loom_monitor_)'
       AND n.nspname <> 'information_schema'
       AND (e.place IS NOT NULL
            OR n.nspowner = (SELECT datdba FROM pg_catalog.pg_database WHERE datname = current_database()))
       AND NOT EXISTS (SELECT
                         FROM pg_catalog.pg_depend AS d
                        WHERE d.classid = 'pg_catalog.pg_namespace'::regclass
                          AND d.objid   = n.oid
                          AND d.deptype = 'e')
),
relation AS (
    SELECT c.oid, w.prefix || c.relname AS relname, c.relkind, c.relacl, c.relowner, c.relrowsecurity,
           c.relforcerowsecurity, c.reloptions, c.relpersistence, c.relreplident, c.relam
      FROM pg_catalog.pg_class AS c
      JOIN watched AS w ON w.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
       AND NOT c.relispartition
       AND NOT EXISTS (SELECT
                         FROM pg_catalog.pg_depend AS d
                        WHERE d.classid = 'pg_catalog.pg_class'::regclass
                          AND d.objid   = c.oid
                          AND d.deptype = 'e')
),
function AS (
    SELECT p.oid, coalesce(w.prefix, p.pronamespace::regnamespace::text || '.') AS prefix
      FROM pg_catalog.pg_proc AS p
      LEFT JOIN watched AS w ON w.oid = p.pronamespace
     WHERE (w.oid IS NOT NULL
            OR p.oid IN (SELECT d.refobjid
                           FROM pg_catalog.pg_depend AS d
                          WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass
                            AND d.classid IN ('pg_catalog.pg_policy'::regclass, 'pg_catalog.pg_rewrite'::regclass,
                                              'pg_catalog.pg_attrdef'::regclass, 'pg_catalog.pg_constraint'::regclass)))
       AND p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
       AND NOT EXISTS (SELECT
                         FROM pg_catalog.pg_depend AS d
                        WHERE d.classid = 'pg_catalog.pg_proc'::regclass
                          AND d.objid   = p.oid
                          AND d.deptype = 'e')
),
type AS (
    SELECT t.oid, w.prefix || t.typname AS typname, t.typtype, t.typrelid,
           concat_ws('|', t.typowner, t.typbasetype, t.typtypmod, t.typnotnull, t.typcollation, t.typdefaultbin::text,
                     t.typacl IS NULL,
                     (SELECT string_agg(acl::text, ',' ORDER BY acl::text) FROM unnest(t.typacl) AS acl)) AS state
      FROM pg_catalog.pg_type AS t
      JOIN watched AS w ON w.oid = t.typnamespace
      LEFT JOIN pg_catalog.pg_class AS c ON c.oid = t.typrelid
     WHERE (t.typtype IN ('d', 'e', 'r') OR c.relkind = 'c')
       AND NOT EXISTS (SELECT
                         FROM pg_catalog.pg_depend AS d
                        WHERE d.classid = 'pg_catalog.pg_type'::regclass
                          AND d.objid   = t.oid
                          AND d.deptype = 'e')
),
api AS (
    SELECT oid
      FROM pg_catalog.pg_roles
     WHERE coalesce(nullif(current_setting('deployment.statement_roles', true), ''), '[]')::jsonb ? rolname
),
setting (setdatabase, setrole, state) AS (
    SELECT s.setdatabase, s.setrole, (SELECT string_agg(one, ',' ORDER BY one) FROM unnest(s.setconfig) AS one)
      FROM pg_catalog.pg_db_role_setting AS s
),
member (kind, object, state) AS (
    SELECT 'relation', r.relname,
           concat_ws('|', r.relkind, r.relowner, r.relacl IS NULL,
                     (SELECT string_agg(acl::text, ',' ORDER BY acl::text) FROM unnest(r.relacl) AS acl),
                     r.relrowsecurity, r.relforcerowsecurity, r.reloptions, r.relpersistence, r.relreplident, r.relam,
                     (SELECT string_agg(md5(w.ev_action::text) || w.ev_enabled::text, ',' ORDER BY w.rulename)
                        FROM pg_catalog.pg_rewrite AS w
                       WHERE w.ev_class = r.oid),
                     (SELECT count(*)  -- of foreign keys that are switched off
                        FROM pg_catalog.pg_trigger AS t
                       WHERE t.tgrelid = r.oid AND t.tgisinternal AND t.tgenabled <> 'O'),
                     (SELECT string_agg(i.inhrelid::text, ',' ORDER BY i.inhrelid)  -- rows that are read with its own
                        FROM pg_catalog.pg_inherits AS i
                        JOIN relation AS child ON child.oid = i.inhrelid
                       WHERE i.inhparent = r.oid),
                     (SELECT concat_ws(' ', s.seqtypid, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle,
                                       (SELECT string_agg(concat_ws('.', d.refobjid, d.refobjsubid), ',')
                                          FROM pg_catalog.pg_depend AS d
                                         WHERE d.classid    = 'pg_catalog.pg_class'::regclass
                                           AND d.objid      = r.oid
                                           AND d.refclassid = 'pg_catalog.pg_class'::regclass))
                        FROM pg_catalog.pg_sequence AS s
                       WHERE s.seqrelid = r.oid))
      FROM relation AS r
     UNION ALL
    SELECT 'column', format('%s on %s', a.attname, r.relname),
           concat_ws('|', a.atttypid, a.atttypmod, a.attcollation, a.attnotnull, a.attidentity::text,
                     a.attgenerated::text,
                     d.adbin::text, a.attstattarget, a.attstorage, a.attoptions, a.attacl IS NULL,
                     (SELECT string_agg(acl::text, ',' ORDER BY acl::text) FROM unnest(a.attacl) AS acl))
      FROM relation AS r
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = r.oid AND d.adnum = a.attnum
     WHERE r.relkind <> 'S'
     UNION ALL
    SELECT 'constraint', format('%s on %s', k.conname, coalesce(r.relname, t.typname)),
           concat_ws('|', k.contype, k.condeferrable, k.condeferred, k.convalidated, k.confrelid, k.conkey, k.confkey,
                     k.confupdtype, k.confdeltype, k.confmatchtype, k.conexclop, k.conbin::text, k.connoinherit,
                     to_jsonb(k) -> 'conenforced', to_jsonb(k) -> 'confdelsetcols', to_jsonb(k) -> 'conperiod')
      FROM pg_catalog.pg_constraint AS k
      LEFT JOIN relation AS r ON r.oid = k.conrelid
      LEFT JOIN type AS t ON t.oid = k.contypid
     WHERE coalesce(r.oid, t.oid) IS NOT NULL
       AND k.contype <> 'n'  -- stands in the column, too
     UNION ALL
    SELECT 'index', format('%s on %s', x.relname, r.relname),
           concat_ws('|', x.relam, i.indisunique, i.indisprimary, i.indisvalid, i.indisready, i.indislive,
                     i.indimmediate, i.indisreplident, i.indnkeyatts, i.indkey, i.indclass, i.indcollation, i.indoption,
                     i.indexprs::text, i.indpred::text, to_jsonb(i) -> 'indnullsnotdistinct', x.reloptions)
      FROM relation AS r
      JOIN pg_catalog.pg_index AS i ON i.indrelid = r.oid
      JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
     WHERE x.relname !~ '_cc(new|old)[0-9]*$'
     UNION ALL
    SELECT 'policy', format('%s on %s', p.polname, coalesce(r.relname, p.polrelid::regclass::text)),
           concat_ws('|', p.polcmd, p.polpermissive, p.polroles, p.polqual::text, '/', p.polwithcheck::text)
      FROM pg_catalog.pg_policy AS p
      LEFT JOIN relation AS r ON r.oid = p.polrelid
     WHERE NOT EXISTS (SELECT
                         FROM pg_catalog.pg_depend AS d
                        WHERE d.classid = 'pg_catalog.pg_class'::regclass
                          AND d.objid   = p.polrelid
                          AND d.deptype = 'e')
     UNION ALL
    SELECT 'trigger', format('%s on %s', t.tgname, coalesce(r.relname, t.tgrelid::regclass::text)),
           concat_ws('|', t.tgfoid, t.tgtype, t.tgenabled, t.tgattr, t.tgargs, t.tgqual::text, t.tgconstrrelid,
                     t.tgdeferrable, t.tginitdeferred, t.tgoldtable, t.tgnewtable)
      FROM pg_catalog.pg_trigger AS t
      JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
      LEFT JOIN relation AS r ON r.oid = t.tgrelid
     WHERE NOT t.tgisinternal
       AND (r.oid IS NOT NULL OR p.pronamespace IN (SELECT oid FROM watched))
       AND t.tgparentid = 0  -- not of a partition
     UNION ALL
    SELECT 'event_trigger', t.evtname::text, concat_ws('|', t.evtevent, t.evtenabled, t.evttags, t.evtfoid)
      FROM pg_catalog.pg_event_trigger AS t
     UNION ALL
    SELECT 'function', f.prefix || format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)),
           concat_ws('|', p.prosrc, p.probin, p.prosqlbody::text, p.proconfig, p.prosecdef, p.proleakproof,
                     p.proisstrict, p.provolatile, p.prolang, p.prorettype, p.proallargtypes, p.proowner, p.prokind,
                     p.proretset, p.proparallel, p.procost, p.prorows, p.prosupport, p.proargnames, p.proargmodes,
                     p.provariadic, p.proargdefaults::text, p.proacl IS NULL,
                     (SELECT string_agg(acl::text, ',' ORDER BY acl::text) FROM unnest(p.proacl) AS acl))
      FROM function AS f
      JOIN pg_catalog.pg_proc AS p USING (oid)
     UNION ALL
    SELECT 'statistics', w.prefix || s.stxname,
           concat_ws('|', s.stxrelid, s.stxkeys, s.stxkind, s.stxexprs::text, to_jsonb(s) -> 'stxstattarget')
      FROM pg_catalog.pg_statistic_ext AS s
      JOIN watched AS w ON w.oid = s.stxnamespace
     UNION ALL
    SELECT 'extension', e.extname::text, concat_ws('|', e.extversion, e.extnamespace)
      FROM pg_catalog.pg_extension AS e
     UNION ALL
    SELECT 'publication', p.pubname::text,
           concat_ws('|', p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot,
                     (SELECT string_agg(concat_ws(' ', r.prrelid, r.prattrs, md5(r.prqual::text)), ','
                                        ORDER BY r.prrelid)
                        FROM pg_catalog.pg_publication_rel AS r
                       WHERE r.prpubid = p.oid),
                     (SELECT string_agg(n.pnnspid::text, ',' ORDER BY n.pnnspid)
                        FROM pg_catalog.pg_publication_namespace AS n
                       WHERE n.pnpubid = p.oid))
      FROM pg_catalog.pg_publication AS p
     UNION ALL
    SELECT CASE t.typtype WHEN 'e' THEN 'enum' ELSE 'type' END, t.typname,
           concat_ws('|', t.state,
                     (SELECT string_agg(quote_ident(e.enumlabel), ',' ORDER BY e.enumsortorder)
                        FROM pg_catalog.pg_enum AS e
                       WHERE e.enumtypid = t.oid),
                     (SELECT string_agg(concat_ws(' ', a.attname, a.atttypid, a.atttypmod, a.attcollation), ','
                                        ORDER BY a.attnum)
                        FROM pg_catalog.pg_attribute AS a
                       WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped))
      FROM type AS t
     UNION ALL
    -- Of grants, those to our own roles are left out: `grants` may give them at any time.
    SELECT 'schema', n.nspname::text,
           concat_ws('|', n.nspowner, n.nspacl IS NULL,
                     (SELECT string_agg(acl::text, ',' ORDER BY acl::text)
                        FROM unnest(n.nspacl) AS acl
                       WHERE acl::text !~ '^loom_(monitor|probe)='))
      FROM watched AS n
     UNION ALL
    SELECT 'default_privileges', concat_ws(' ', a.defaclobjtype, 'of', a.defaclrole::regrole, n.nspname),
           (SELECT string_agg(acl::text, ',' ORDER BY acl::text) FROM unnest(a.defaclacl) AS acl)
      FROM pg_catalog.pg_default_acl AS a
      LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = a.defaclnamespace
     WHERE a.defaclnamespace = 0 OR a.defaclnamespace IN (SELECT oid FROM watched)
     UNION ALL
    SELECT 'database', d.datname::text,
           concat_ws('|', d.datdba, d.datallowconn, d.datconnlimit, d.datacl IS NULL,
                     (SELECT string_agg(acl::text, ',' ORDER BY acl::text)
                        FROM unnest(d.datacl) AS acl
                       WHERE acl::text !~ '^loom_(monitor|probe)='),
                     (SELECT string_agg(s.state, '|') FROM setting AS s WHERE s.setdatabase = d.oid AND s.setrole = 0),
                     (SELECT string_agg(concat_ws('=', s.name, s.reset_val), ',' ORDER BY s.name)
                        FROM pg_catalog.pg_settings AS s
                       WHERE s.name IN ('autovacuum', 'track_counts', 'fsync', 'full_page_writes', 'wal_level',
                                        'synchronous_commit', 'default_transaction_read_only')))
      FROM pg_catalog.pg_database AS d
     WHERE d.datname = current_database()
     UNION ALL
    -- The roles of the API, and those that become them. That a password expires is a change when it does.
    SELECT 'role', r.rolname::text,
           concat_ws('|', r.rolsuper, r.rolbypassrls, r.rolinherit, r.rolcanlogin, r.rolconnlimit, r.rolreplication,
                     coalesce(r.rolvaliduntil < now(), false),
                     (SELECT string_agg(s.state, '|' ORDER BY s.setdatabase)
                        FROM setting AS s
                       WHERE s.setrole = r.oid
                         AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database
                                                    WHERE datname = current_database()))),
                     (SELECT string_agg((to_jsonb(m) - 'oid' - 'member')::text, ',' ORDER BY m.roleid, m.grantor)
                        FROM pg_catalog.pg_auth_members AS m
                       WHERE m.member = r.oid
                         AND (r.oid IN (SELECT oid FROM api) OR m.roleid IN (SELECT oid FROM api))))
      FROM pg_catalog.pg_roles AS r
     WHERE (r.oid IN (SELECT oid FROM api)
            OR r.oid IN (SELECT member FROM pg_catalog.pg_auth_members WHERE roleid IN (SELECT oid FROM api)))
       AND r.rolname <> 'loom_probe'
)
SELECT kind.kind,
       count(member.object) AS objects,
       coalesce(jsonb_object_agg(member.object, left(md5(member.state), 12))
                    FILTER (WHERE member.object IS NOT NULL), '{}')::text AS token
  FROM (VALUES ('relation'), ('column'), ('constraint'), ('index'), ('policy'), ('trigger'), ('event_trigger'),
               ('function'), ('enum'), ('type'), ('schema'), ('default_privileges'), ('database'), ('role'),
               ('statistics'), ('extension'), ('publication')) AS kind (kind)
  LEFT JOIN member USING (kind)
 GROUP BY kind.kind;

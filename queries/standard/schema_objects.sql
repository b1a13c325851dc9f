/*
description: Whether the schema is as it was, by kind of object, and how many objects of each kind there are.
phase: all
interval: 30s
timeout: 2s
metrics:
  loom_schema_objects:
    type: gauge
    help: Objects of the exposed schema by kind, without those of extensions and without partitions.
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
WITH exposed (oid, prefix) AS (
    SELECT n.oid, CASE e.place WHEN 1 THEN '' ELSE concat(n.nspname, '.') END
      FROM jsonb_array_elements_text(
               coalesce(nullif(current_setting('deployment.exposed_schemas', true), ''), '["public"]')::jsonb
           ) WITH ORDINALITY AS e (schema, place)
      JOIN pg_catalog.pg_namespace AS n ON n.nspname = e.schema
),
api_role (rolname) AS (
    SELECT jsonb_array_elements_text(
               coalesce(nullif(current_setting('deployment.api_roles', true), ''), '[]')::jsonb)
),
relation AS (
    SELECT c.oid, concat(exposed.prefix, c.relname) AS relname, c.relkind, c.relacl, c.relowner,
           c.relrowsecurity, c.relforcerowsecurity, c.reloptions
      FROM exposed
      JOIN pg_catalog.pg_class AS c ON c.relnamespace = exposed.oid
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
       AND NOT c.relispartition
       AND NOT EXISTS (SELECT
                         FROM pg_catalog.pg_depend AS d
                        WHERE d.classid = 'pg_catalog.pg_class'::regclass
                          AND d.objid   = c.oid
                          AND d.deptype = 'e')
),
member (kind, object, state) AS (
    SELECT 'relation', r.relname::text,
           concat_ws('|', r.relkind, r.relowner, r.relacl IS NULL,
                     (SELECT string_agg(acl::text, ',' ORDER BY acl::text) FROM unnest(r.relacl) AS acl),
                     r.relrowsecurity, r.relforcerowsecurity,
                     CASE WHEN r.relkind = 'v' THEN r.reloptions END,
                     (SELECT string_agg(md5(w.ev_action::text) || w.ev_enabled::text, ',' ORDER BY w.rulename)
                        FROM pg_catalog.pg_rewrite AS w
                       WHERE w.ev_class = r.oid),
                     (SELECT count(*)  -- of foreign keys that are switched off
                        FROM pg_catalog.pg_trigger AS t
                       WHERE t.tgrelid = r.oid AND t.tgisinternal AND t.tgenabled <> 'O'))
      FROM relation AS r
     UNION ALL
    SELECT 'column', format('%s on %s', a.attname, r.relname),
           concat_ws('|', a.atttypid, a.atttypmod, a.attcollation, a.attnotnull, a.attidentity::text,
                     a.attgenerated::text,
                     d.adbin::text, a.attacl IS NULL,
                     (SELECT string_agg(acl::text, ',' ORDER BY acl::text) FROM unnest(a.attacl) AS acl))
      FROM relation AS r
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = r.oid AND d.adnum = a.attnum
     WHERE r.relkind <> 'S'
     UNION ALL
    SELECT 'constraint', format('%s on %s', k.conname, r.relname),
           concat_ws('|', k.contype, k.condeferrable, k.condeferred, k.convalidated, k.confrelid, k.conkey, k.confkey,
                     k.confupdtype, k.confdeltype, k.confmatchtype, k.conexclop, k.conbin::text)
      FROM relation AS r
      JOIN pg_catalog.pg_constraint AS k ON k.conrelid = r.oid
     WHERE k.contype <> 'n'  -- stands in the column, too
     UNION ALL
    SELECT 'index', format('%s on %s', x.relname, r.relname),
           concat_ws('|', x.relam, i.indisunique, i.indisprimary, i.indisvalid, i.indkey, i.indclass, i.indcollation,
                     i.indoption, i.indexprs::text, i.indpred::text)
      FROM relation AS r
      JOIN pg_catalog.pg_index AS i ON i.indrelid = r.oid
      JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
     WHERE x.relname !~ '_cc(new|old)[0-9]*$'
     UNION ALL
    SELECT 'policy', format('%s on %s', p.polname, r.relname),
           concat_ws('|', p.polcmd, p.polpermissive, p.polroles, p.polqual::text, '/', p.polwithcheck::text)
      FROM relation AS r
      JOIN pg_catalog.pg_policy AS p ON p.polrelid = r.oid
     UNION ALL
    SELECT 'trigger', format('%s on %s', t.tgname, r.relname),
           concat_ws('|', t.tgfoid, t.tgtype, t.tgenabled, t.tgattr, t.tgargs, t.tgqual::text)
      FROM relation AS r
      JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = r.oid AND NOT t.tgisinternal
     UNION ALL
    SELECT 'function', format('%s%s(%s)', exposed.prefix, p.proname, oidvectortypes(p.proargtypes)),
           concat_ws('|', p.prosrc, p.probin, p.prosqlbody::text, p.proconfig, p.prosecdef, p.proleakproof,
                     p.proisstrict, p.provolatile, p.prolang, p.prorettype, p.proallargtypes, p.proowner,
                     p.proacl IS NULL,
                     (SELECT string_agg(acl::text, ',' ORDER BY acl::text) FROM unnest(p.proacl) AS acl))
      FROM exposed
      JOIN pg_catalog.pg_proc AS p ON p.pronamespace = exposed.oid
     WHERE NOT EXISTS (SELECT
                         FROM pg_catalog.pg_depend AS d
                        WHERE d.classid = 'pg_catalog.pg_proc'::regclass
                          AND d.objid   = p.oid
                          AND d.deptype = 'e')
     UNION ALL
    SELECT 'enum', concat(exposed.prefix, t.typname),
           (SELECT string_agg(quote_ident(e.enumlabel), ',' ORDER BY e.enumsortorder)
              FROM pg_catalog.pg_enum AS e
             WHERE e.enumtypid = t.oid)
      FROM exposed
      JOIN pg_catalog.pg_type AS t ON t.typnamespace = exposed.oid
     WHERE t.typtype = 'e'
     UNION ALL
    SELECT 'schema', n.nspname::text, concat_ws('|', n.nspowner, n.nspacl IS NULL,
                     (SELECT string_agg(acl::text, ',' ORDER BY acl::text) FROM unnest(n.nspacl) AS acl))
      FROM exposed
      JOIN pg_catalog.pg_namespace AS n ON n.oid = exposed.oid
     UNION ALL
    SELECT 'role', r.rolname::text,
           concat_ws('|', r.rolsuper, r.rolbypassrls, r.rolinherit, r.rolcanlogin, r.rolconfig,
                     (SELECT string_agg(m.roleid::text, ',' ORDER BY m.roleid)
                        FROM pg_catalog.pg_auth_members AS m
                       WHERE m.member = r.oid))
      FROM pg_catalog.pg_roles AS r
     WHERE r.rolname IN (SELECT rolname FROM api_role)
)
SELECT kind.kind,
       count(member.object) AS objects,
       coalesce(jsonb_object_agg(member.object, left(md5(member.state), 12))
                    FILTER (WHERE member.object IS NOT NULL), '{}')::text AS token
  FROM (VALUES ('relation'), ('column'), ('constraint'), ('index'), ('policy'), ('trigger'),
               ('function'), ('enum'), ('schema'), ('role')) AS kind (kind)
  LEFT JOIN member USING (kind)
 GROUP BY kind.kind;

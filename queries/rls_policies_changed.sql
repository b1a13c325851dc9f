/*
description: When the policies of each of the deployment's tables last changed.
phase: rls
interval: 30s
metrics:
  loom_rls_policies_changed_timestamp_seconds:
    type: change_timestamp
    help: Unix time at which a policy of the table was last seen to change.
    labels: [table]
    value: fingerprint
*/
-- Why: a policy that is replaced by one of the same name changes no count. The expressions are
-- taken as stored, because pg_get_expr waits for the table's lock.
SELECT c.relname AS "table",
       md5(coalesce(string_agg(concat_ws('|', p.polname, p.polcmd, p.polpermissive, p.polroles,
                                         md5(p.polqual::text), 'check', md5(p.polwithcheck::text)),
                               E'\n' ORDER BY p.polname), '')) AS fingerprint
  FROM (VALUES ('users'), ('user_mfa_methods'), ('mfa_verification_attempts'),
               ('file_uploads'), ('file_shares'), ('resource_collections'),
               ('resource_collection_items'), ('resource_client_progress'),
               ('security_audit_log')) AS watched (relation)
  JOIN pg_catalog.pg_class AS c
    ON c.relname = watched.relation AND c.relnamespace = 'public'::regnamespace
  LEFT JOIN pg_catalog.pg_policy AS p
    ON p.polrelid = c.oid
 WHERE c.relkind IN ('r', 'p')
 GROUP BY c.relname;

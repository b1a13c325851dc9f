/*
description: Whether the audit log holds the events that the migrations write.
phase: all
interval: 1m
access: definer
requires:
  relations: [public.security_audit_log]
metrics:
  loom_audit_expected_event_present:
    type: gauge
    help: Whether the audit log holds an event of this type (1) or not (0).
    labels: [event_type]
    value: present
*/
-- Why: the checklist asks for them. They prove little, since anybody may write to the log, and a
-- migration that fails takes its event with it; believe loom_migration_applied.
-- The types stand twice, the second time as literals: of those the planner knows that they are rare.
SELECT expected.event_type,
       (found.event_type IS NOT NULL)::int AS present
  FROM (VALUES ('security_hardening'),
               ('rls_policy_fix'),
               ('mfa_synchronization'),
               ('mfa_consolidation')) AS expected (event_type)
  LEFT JOIN (SELECT DISTINCT event_type
               FROM public.security_audit_log
              WHERE event_type IN ('security_hardening', 'rls_policy_fix',
                                   'mfa_synchronization', 'mfa_consolidation')) AS found USING (event_type);

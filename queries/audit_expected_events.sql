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
SELECT expected.event_type,
       EXISTS (SELECT
                 FROM public.security_audit_log AS log
                WHERE log.event_type = expected.event_type)::int AS present
  FROM (VALUES ('security_hardening'),
               ('rls_policy_fix'),
               ('mfa_synchronization'),
               ('mfa_consolidation')) AS expected (event_type);

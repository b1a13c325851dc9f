/*
description: Time of the newest audit event of each type.
phase: all
interval: 1m
access: definer
requires:
  relations: [public.security_audit_log]
metrics:
  loom_audit_last_event_timestamp_seconds:
    type: gauge
    help: Unix time of the newest audit event of the type; types outside the list are other.
    labels: [event_type]
    value: last_event
*/
-- Why: a log that has gone quiet is as telling as one that shouts. A type without an event gives no
-- sample. NULL times, which the column allows, and times still to come are not events to go by.
-- The types stand as literals, so that the planner knows the rare from the common.
SELECT event_type, extract(epoch FROM max(log.timestamp)) AS last_event
  FROM public.security_audit_log AS log
 WHERE event_type IN ('security_hardening', 'rls_policy_fix', 'mfa_synchronization', 'mfa_consolidation',
                      'role_change', 'role_validation_failed', 'mfa_backup_codes_generated')
   AND log.timestamp <= now()
 GROUP BY event_type
 UNION ALL
SELECT 'other', extract(epoch FROM max(log.timestamp))
  FROM public.security_audit_log AS log
 WHERE event_type NOT IN ('security_hardening', 'rls_policy_fix', 'mfa_synchronization', 'mfa_consolidation',
                          'role_change', 'role_validation_failed', 'mfa_backup_codes_generated')
   AND log.timestamp <= now();

/*
description: How many records the newest synchronisation of MFA changed, by its event in the audit log.
phase: mfa
interval: 1m
access: definer
requires:
  relations: [public.security_audit_log]
metrics:
  loom_mfa_synchronised_records:
    type: gauge
    help: Records that the newest synchronisation says it updated; absent without its event, or without a number in it.
    value: records
*/
-- Why: the checklist asks for the number. Anybody may write to that log, so what is no number is not read.
SELECT CASE WHEN event_details ->> 'records_updated' ~ '^[0-9]{1,12}$'
            THEN (event_details ->> 'records_updated')::bigint END AS records
  FROM public.security_audit_log
 WHERE event_type = 'mfa_synchronization'
 ORDER BY timestamp DESC NULLS LAST
 LIMIT 1;

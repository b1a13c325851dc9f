/*
description: Events of the audit log by type and severity, in the last hour and the last day.
phase: all
interval: 1m
access: definer
requires:
  relations: [public.security_audit_log]
metrics:
  loom_audit_events:
    type: gauge
    help: Audit events of the window before now; types outside the list are other, and so are severities.
    labels: [event_type, severity, window]
    value: events
    baseline: true
*/
-- Why: an event carries the time at which its transaction began, so it appears late and behind
-- others; each run counts the whole window again instead of looking for what is new. Anybody may
-- write here: the types are listed, or a visitor could make as many series as they like.
WITH kind (event_type) AS (
    VALUES ('security_hardening'), ('rls_policy_fix'), ('mfa_synchronization'), ('mfa_consolidation'),
           ('role_change'), ('role_validation_failed'), ('mfa_backup_codes_generated'), ('other')
),
level (severity) AS (
    VALUES ('info'), ('warning'), ('error'), ('critical'), ('other')
),
event AS (
    SELECT coalesce(kind.event_type, 'other') AS event_type,
           coalesce(level.severity, 'other')  AS severity,
           count(*)                                                          AS last_day,
           count(*) FILTER (WHERE log.timestamp > now() - interval '1 hour') AS last_hour
      FROM public.security_audit_log AS log
      LEFT JOIN kind  ON kind.event_type = log.event_type
      LEFT JOIN level ON level.severity  = log.severity
     WHERE log.timestamp > now() - interval '24 hours'
       AND log.timestamp <= now()
     GROUP BY 1, 2
)
SELECT kind.event_type, level.severity, w.label AS "window", coalesce(w.events, 0) AS events
  FROM kind
 CROSS JOIN level
  LEFT JOIN event USING (event_type, severity)
 CROSS JOIN LATERAL (VALUES ('1h',  event.last_hour),
                            ('24h', event.last_day)) AS w (label, events);

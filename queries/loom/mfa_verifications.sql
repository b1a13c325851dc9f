/*
description: Attempts to verify a second factor by outcome, in the last hour and the last day.
phase: mfa
interval: 1m
access: definer
requires:
  relations: [public.mfa_verification_attempts]
metrics:
  loom_mfa_verifications:
    type: gauge
    help: Attempts to verify a second factor that began in the window before now, by outcome.
    labels: [status, window]
    value: attempts
*/
-- Why: a login that breaks shows as failures among the attempts, or as no attempts at all.
SELECT s.status, w.label AS "window", count(a.created_at) AS attempts
  FROM unnest(enum_range(NULL::public.mfa_verification_status)) AS s (status)
 CROSS JOIN (VALUES ('1h',  interval '1 hour'),
                    ('24h', interval '24 hours')) AS w (label, length)
  LEFT JOIN public.mfa_verification_attempts AS a
    ON a.status     = s.status
   AND a.created_at > now() - w.length
   AND a.created_at <= now()
   AND a.created_at > now() - interval '24 hours'  -- a constant bound, so that an index can serve it
 GROUP BY s.status, w.label;

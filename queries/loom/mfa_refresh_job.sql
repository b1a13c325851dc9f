/*
description: Outcome of the scheduled refresh of the unified MFA view, from pg_cron.
phase: mfa
interval: 1m
access: definer
requires:
  relations: [cron.job, cron.job_run_details]
  extensions: [pg_cron]
metrics:
  loom_mfa_refresh_job_last_success_timestamp_seconds:
    type: gauge
    help: Unix time at which the scheduled refresh of the unified MFA view last succeeded.
    value: last_success
  loom_mfa_refresh_job_failures:
    type: gauge
    help: Failed runs of the scheduled refresh of the unified MFA view in the last 24 hours.
    value: failures
*/
-- Why: a job can stay active and never run again; only the age of its last success tells. Without
-- such a job there is no row: `empty`, not 0 failures. Run ids are read from the newest backwards
-- (nothing else is indexed), and say which runs are recent where a failed one has no time.
WITH job AS (
    SELECT jobid
      FROM cron.job
     WHERE command ~* 'refresh.*user_mfa_status_unified'
       AND database = current_database()
),
recent AS (
    SELECT jobid, runid, status, start_time, end_time
      FROM cron.job_run_details
     ORDER BY runid DESC
     LIMIT 20000
),
a_day_ago AS (
    SELECT CASE WHEN count(*) < 20000 THEN coalesce(max(runid) FILTER (WHERE old), 0)
                ELSE max(runid) FILTER (WHERE old) END AS runid  -- NULL: the last day is more than we read
      FROM (SELECT runid, start_time < now() - interval '24 hours' AS old FROM recent) AS run
)
SELECT extract(epoch FROM max(r.end_time) FILTER (WHERE r.status = 'succeeded')) AS last_success,
       CASE WHEN bool_and(a_day_ago.runid IS NOT NULL)
            THEN count(*) FILTER (WHERE r.status = 'failed' AND r.runid > a_day_ago.runid) END AS failures
  FROM job
 CROSS JOIN a_day_ago
  LEFT JOIN recent AS r USING (jobid)
HAVING count(*) > 0;

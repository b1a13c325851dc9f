"""MFA: do flags, methods and the unified view agree, and do people get in?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.durations import format_duration
from grafana.board import Row
from grafana.judged import condition_on
from grafana.looks import GREEN, PLAIN, RED, Step, Word, bad_below, bad_from
from grafana.panels import Query, lines, number
from grafana.tables import Label, Value, rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana_foundation_sdk.builders import stat, table, timeseries

    from exporter.catalog import Deployment


def mfa(deployment: Deployment) -> Sequence[Row]:
    """Return the rows about MFA."""
    return [
        Row(
            "MFA",
            [
                _disagreements(),
                _populated(),
                _not_in_view(deployment),
                _view_age(deployment),
                _refresh_job(),
            ],
        ),
        Row(None, [_users(), _verifications(), _methods()]),
    ]


def _disagreements() -> stat.Panel:
    return number(
        "MFA discrepancies",
        """Users whose flag disagrees with their active methods, and users without a flag. 0 is
        good. The view misses flags that are NULL and is as old as its last refresh: if only it
        says 0, believe the live count. If not 0, synchronise users.mfa_enabled again.""",
        Query('max(loom_mfa_discrepancies{@, source="live"})', "live"),
        Query('max(loom_mfa_discrepancies{@, source="view"})', "in the view"),
        Query("max(loom_mfa_flag_unset_users{@})", "flag not set"),
        unit="none",
        width=8,
        steps=bad_from(1),
    )


def _populated() -> stat.Panel:
    return number(
        "Unified view",
        """Whether the materialized view user_mfa_status_unified holds data. If it was never
        refreshed, every query of it fails: SELECT refresh_user_mfa_status_unified(). No data: it
        does not exist, as before the deployment or after a rollback.""",
        Query("min(loom_mfa_view_populated{@})", "unified view"),
        unit="none",
        width=3,
        steps=bad_below(1),
        words={"0": Word("empty", RED), "1": Word("populated", GREEN)},
    )


def _not_in_view(deployment: Deployment) -> stat.Panel:
    tolerated = condition_on(deployment, "loom_mfa_view_rows").by
    return number(
        "Users missing from it",
        f"""Users without a row in the unified view. Those who came since its last refresh are
        ordinary; more than {tolerated:.0%} of all are not: refresh it, and count again.""",
        Query("1 - max(loom_mfa_view_rows{@}) / max(loom_users{@})", "missing"),
        unit="percentunit",
        width=4,
        steps=bad_from(tolerated),
    )


def _view_age(deployment: Deployment) -> stat.Panel:
    condition = condition_on(deployment, "loom_mfa_view_refreshed_timestamp_seconds")
    longest = condition.newer_than or 0
    return number(
        "Age of the view",
        f"""Time since it was refreshed, which is to happen each night. Older than
        {format_duration(longest)}, what it says of discrepancies proves nothing: see the refresh
        job.""",
        Query("time() - max(loom_mfa_view_refreshed_timestamp_seconds{@})", "age"),
        unit="s",
        width=4,
        steps=bad_from(longest),
    )


def _refresh_job() -> table.Panel:
    named = 'label_replace({}, "job", "nightly refresh", "", "")'
    return rows(
        "Refresh job",
        """Failed runs of pg_cron's job in the last 24 hours, and its last success. 0 failures is
        good; for others read cron.job_run_details. Without pg_cron or without the job nothing
        refreshes the view: schedule it (checklist, week 2).""",
        [Label("job", "Job")],
        [
            Value(
                "Failures",
                named.format(
                    """max(loom_mfa_refresh_job_failures{@})
                    or -1 * (max(loom_exporter_query_state
                    {@, query="mfa_refresh_job", state="absent"}) == 1)"""
                ),
                steps=(Step(None, PLAIN), Step(0, GREEN), Step(1, RED)),
                words={"-1": Word("not scheduled")},
            ),
            Value(
                "Last success",
                named.format("max(loom_mfa_refresh_job_last_success_timestamp_seconds{@}) * 1000"),
                unit="dateTimeFromNow",
            ),
        ],
        width=5,
        height=4,
    )


def _users() -> timeseries.Panel:
    return lines(
        "Users with MFA",
        """Users with MFA by their flag, by their active methods and by the unified view, and users
        who have backup codes. From the deployment on the first three should be one line; a step
        down is people who lost their second factor: stop, and roll back the mfa phase.""",
        Query("max by (source) (loom_mfa_enabled_users{@})", "by {{source}}"),
        Query("max(loom_mfa_backup_code_users{@})", "with backup codes"),
        unit="none",
        width=8,
        height=9,
    )


def _verifications() -> timeseries.Panel:
    return lines(
        "Verifications in the last hour",
        """Attempts to verify a second factor by outcome. A share of failures that rises at the
        deployment means that people with the right code are turned away: roll back the mfa phase.
        None at all means that nobody is asked for it any more.""",
        Query('max by (status) (loom_mfa_verifications{@, window="1h"})', "{{status}}"),
        unit="none",
        width=8,
        height=9,
        stacked=True,
    )


def _methods() -> table.Panel:
    return rows(
        "MFA methods",
        """Methods by type and status, before the deployment and now. It should not change any:
        active ones that are gone are users locked out or left unprotected.""",
        [Label("method_type", "Type"), Label("status", "Status")],
        [
            Value("Before", "max by (method_type, status) (loom_mfa_methods_baseline{@})"),
            Value("Now", "max by (method_type, status) (loom_mfa_methods{@})"),
        ],
        width=8,
        height=9,
    )

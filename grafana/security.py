"""What the API can call and read beyond row-level security, and what the audit log has of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.board import Row
from grafana.looks import GREEN, RED, Word, bad_below, bad_from
from grafana.panels import Query, lines
from grafana.tables import Label, Value, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import table, timeseries


def security() -> Row:
    """Return the row about functions and relations."""
    return Row("Functions and views", [_functions(), _executable(), _exposed()])


def audit_log() -> Row:
    """Return the row about the audit log."""
    return Row("Security audit log", [_events(), _severities()])


def _functions() -> table.Panel:
    grades = "max by (search_path) (loom_security_definer_functions{}{{@{}}})"
    return rows(
        "SECURITY DEFINER functions",
        """Functions by the grade of their search_path. Unset is vulnerable, whoever may create
        objects can make them run something else: 0 after the security phase. No more than before
        may name a schema that users can write to. To fix one: ALTER FUNCTION ... SET search_path =
        ''.""",
        [
            Label(
                "search_path",
                "search_path",
                {
                    "unset": Word("unset: vulnerable"),
                    "empty": Word("empty"),
                    "catalog_first": Word("pg_catalog first"),
                    "pinned": Word("pinned"),
                    "user_schema": Word("a user's schema"),
                    "writable_schema": Word("a writable schema"),
                },
            )
        ],
        [
            Value("Before", grades.format("_baseline", "")),
            Value("Now", grades.format("", "")),
            Value(
                "Too many",
                f"""{grades.format("", ', search_path="unset"')}
                or clamp_min({grades.format("", ', search_path=~"user_schema|writable_schema"')}
                - {grades.format("_baseline", "")}, 0)""",
                steps=bad_from(1),
            ),
        ],
        width=9,
    )


def _executable() -> table.Panel:
    functions = "max by (role) (loom_security_definer_executable_functions{}{{@{}}})"
    return rows(
        "SECURITY DEFINER functions that the API may call",
        """Such functions that each role may execute. More than before for anon or public means
        that the deployment opened a door to people who are not signed in: REVOKE EXECUTE ON
        FUNCTION ... FROM PUBLIC, anon.""",
        [Label("role", "Role")],
        [
            Value("Before", functions.format("_baseline", "")),
            Value("Now", functions.format("", "")),
            Value(
                "New",
                f"""{functions.format("", ', role=~"anon|public"')}
                - {functions.format("_baseline", "")}""",
                steps=bad_from(1),
            ),
        ],
        width=7,
    )


def _exposed() -> table.Panel:
    relations = "max by (kind, role) (loom_exposed_relations{}{{@}})"
    return rows(
        "Views that the API may read past policies",
        """Views and materialized views that a role of the API may read and that row-level security
        does not filter. No more than before is good. A new one shows every user's row to
        everybody: REVOKE SELECT from anon and authenticated, or make the view security_invoker.""",
        [
            Label("kind", "Kind", {"materialized_view": Word("materialized view")}),
            Label("role", "Role"),
        ],
        [
            Value("Before", relations.format("_baseline")),
            Value("Now", relations.format("")),
            Value(
                "New",
                f"{relations.format('')} - {relations.format('_baseline')}",
                steps=bad_from(1),
            ),
        ],
        width=8,
    )


def _events() -> table.Panel:
    return rows(
        "Audit events",
        """Events of the last day by type, the newest of each, and, of those that the migrations
        write, whether they are there at all. A missing one means that its phase did not run to its
        end, or that the log lost it; anybody may write there, so believe the phases first.""",
        [Label("event_type", "Event")],
        [
            Value(
                "Of the deployment",
                "min by (event_type) (loom_audit_expected_event_present{@})",
                steps=bad_below(1),
                words={"0": Word("missing", RED), "1": Word("there", GREEN)},
            ),
            Value(
                "In the last day",
                """sum by (event_type)
                (max by (event_type, severity) (loom_audit_events{@, window="24h"}))""",
            ),
            Value(
                "Newest",
                "max by (event_type) (loom_audit_last_event_timestamp_seconds{@}) * 1000",
                unit="dateTimeFromNow",
            ),
        ],
        width=12,
        height=10,
    )


def _severities() -> timeseries.Panel:
    return lines(
        "Audit events of the last hour by severity",
        """The deployment's own events are critical and expected, once. Other errors and critical
        events that begin with the deployment are worth the review of day 3; nothing at all, from a
        log that was busy, is worth one too.""",
        Query(
            """sum by (severity)
            (max by (event_type, severity) (loom_audit_events{@, window="1h"}))""",
            "{{severity}}",
        ),
        unit="none",
        width=12,
        height=10,
        stacked=True,
    )

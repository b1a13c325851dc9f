"""What is wrong with the deployment, and which phase is to blame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.catalog.condition import ALL
from exporter.comparison.rule import SLOWER
from grafana.board import FIRING, LOOM_ALERTS, Row
from grafana.looks import GREEN, ORANGE, RED, STATUS, STATUS_STEPS, Word, bad_from
from grafana.tables import Label, Value, rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana_foundation_sdk.builders import table

_SURELY_SLOWER = f"""
    max by (class) (loom_statement_change_ratio{{@}}) > {SLOWER}
    and on (class) max by (class) (loom_statement_change_ratio_lower{{@}}) > 1
"""
"""The classes whose slow-down is large, and at 95 % no noise; the verdict asks for more."""

_SLOWER_BY_PHASE = f"""
    count by (phase) (({_SURELY_SLOWER})
    * on (class) group_left (phase) max by (class, phase) (loom_class_info{{@, phase!="{ALL}"}}))
"""

_ABOUT = "title, rollback_risk, rollback_advice"

_APPLIED = f"""
    min by (phase) (loom_migration_applied{{@}})
    * on (phase) group_left ({_ABOUT}) max by (phase, {_ABOUT}) (loom_phase_info{{@}})
    or on (phase) -max by (phase, {_ABOUT}) (loom_phase_info{{@}})
"""
"""-1 for a phase that no history shows."""


def blame() -> Sequence[Row]:
    """Return the rows about phases, criteria and alerts."""
    return [
        Row("What is wrong, and whose phase", [_phases()]),
        Row(None, [_criteria(), _firing()]),
    ]


def _phases() -> table.Panel:
    return rows(
        "Phases",
        """One row for each phase. The one to blame has failing criteria, slower classes or missing
        objects; all three should be empty. A phase that is applied and whose objects are missing
        was rolled back.""",
        [
            Label("phase", "Name", width=110),
            Label("title", "Phase"),
            Label("rollback_risk", "Risk of a rollback", width=130),
            Label("rollback_advice", "To roll back"),
        ],
        [
            Value(
                "Migration",
                _APPLIED,
                words={
                    "-1": Word("no history"),
                    "0": Word("not applied"),
                    "1": Word("applied"),
                },
            ),
            Value(
                "Applied",
                "max by (phase) (loom_deployment_timestamp_seconds{@}) * 1000",
                unit="dateTimeFromNow",
            ),
            Value(
                "Objects missing",
                """count by (phase)
                (max by (phase, object) (loom_deployment_object_present{@}) == 0)
                and on (phase) min by (phase) (loom_migration_applied{@}) == 1""",
                steps=bad_from(1),
            ),
            Value(
                "Failing criteria",
                f"""count by (phase) (max by (phase, criterion)
                (loom_criterion_status{{@, status="fail", phase!="{ALL}"}}) == 1)""",
                steps=bad_from(1),
            ),
            Value("Slower classes", _SLOWER_BY_PHASE, steps=bad_from(1)),
        ],
        width=24,
        height=6,
    )


def _criteria() -> table.Panel:
    return rows(
        "Success criteria",
        """The criteria of deployment.yaml, what fails first. All must pass for a go. Inconclusive
        is not known yet, or waits for a signature (loom-exporter sign-off). The evidence for each:
        loom-exporter verify, or the exporter's own page.""",
        [
            Label("title", "Criterion"),
            Label("phase", "Phase", width=90),
        ],
        [
            Value(
                "Status",
                """max by (title, phase) (
                (max by (criterion, phase) (loom_criterion_status{@, status="inconclusive"})
                + 2 * max by (criterion, phase) (loom_criterion_status{@, status="fail"}))
                * on (criterion) group_left (title)
                max by (criterion, title) (loom_criterion_info{@}))""",
                steps=STATUS_STEPS,
                words=STATUS,
            )
        ],
        width=14,
        height=11,
        worst_first="Status",
    )


_FIRING_SINCE = f"""
    max by (alertname, severity, phase) (ALERTS_FOR_STATE{{{LOOM_ALERTS}}}) * 1000
    and on (alertname, severity, phase) {FIRING}
"""


def _firing() -> table.Panel:
    return rows(
        "Firing alerts",
        """What fires now; each alert has a runbook of its name. LoomWatchdog fires always: if it
        is not here, the alert rules are not loaded, and an empty table means nothing.""",
        [
            Label("alertname", "Alert"),
            Label("phase", "Phase", width=90),
            Label(
                "severity",
                "Severity",
                {
                    "critical": Word("critical", RED),
                    "warning": Word("warning", ORANGE),
                    "info": Word("info"),
                    "none": Word("always on", GREEN),
                },
                width=100,
            ),
        ],
        [Value("Since", _FIRING_SINCE, unit="dateTimeFromNow")],
        width=10,
        height=11,
        no_value="nothing, or no rules",
    )

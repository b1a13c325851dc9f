"""What is wrong with the deployment, and which phase is to blame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.catalog.criteria import ALL
from exporter.comparison.rule import SLOWER
from grafana.board import FIRING, LOOM_ALERTS, Row
from grafana.judged import classes_by_phase
from grafana.looks import GREEN, ORANGE, RED, STATUS, STATUS_STEPS, Word, bad_from
from grafana.tables import Label, Value, rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana_foundation_sdk.builders import table

    from exporter.catalog import Deployment

_SURELY_SLOWER = f"""
    loom_statement_change_ratio{{@}} > {SLOWER}
    and on (class) loom_statement_change_ratio_lower{{@}} > 1
"""
"""The classes whose slow-down is large, and at 95 % no noise; the verdict asks for more."""


def blame(deployment: Deployment) -> Sequence[Row]:
    """Return the rows about phases, criteria and alerts."""
    return [
        Row("What is wrong, and whose phase", [_phases(deployment)]),
        Row(None, [_criteria(deployment), _firing()]),
    ]


def _phases(deployment: Deployment) -> table.Panel:
    advice = " ".join(
        f"{name}, {phase.rollback.risk} risk: {phase.rollback.advice}"
        for name, phase in deployment.phases.items()
    )
    return rows(
        "Phases",
        f"""One row for each phase. The one to blame has failing criteria, slower classes or
        missing objects; all three should be empty. A phase that is applied and whose objects are
        missing was rolled back. To roll back: {advice}""",
        [
            Label(
                "phase",
                "Phase",
                {
                    name: Word(f"{phase.title} (rollback: {phase.rollback.risk} risk)")
                    for name, phase in deployment.phases.items()
                },
                width=440,
            )
        ],
        [
            Value(
                "Migration",
                "min by (phase) (loom_migration_applied{@})",
                words={"0": Word("not applied"), "1": Word("applied")},
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
            Value("Slower classes", _slower_by_phase(deployment), steps=bad_from(1)),
        ],
        width=24,
        height=6,
    )


def _slower_by_phase(deployment: Deployment) -> str:
    def slower(phase: str, classes: Sequence[str]) -> str:
        of_phase = _SURELY_SLOWER.replace("{@}", f'{{@, class=~"{"|".join(classes)}"}}')
        return f'label_replace(count({of_phase}), "phase", "{phase}", "", "")'

    return " or ".join(
        slower(phase, classes) for phase, classes in classes_by_phase(deployment).items()
    )


def _criteria(deployment: Deployment) -> table.Panel:
    return rows(
        "Success criteria",
        """The checklist's criteria, what fails first. All must pass for a go. Inconclusive is not
        known yet, or waits for a signature (loom-exporter sign-off). The evidence for each:
        loom-exporter verify, or the exporter's own page.""",
        [
            Label(
                "criterion",
                "Criterion",
                {name: Word(each.title) for name, each in deployment.criteria.items()},
            ),
            Label("phase", "Phase", width=90),
        ],
        [
            Value(
                "Status",
                """max by (criterion, phase) (loom_criterion_status{@, status="inconclusive"})
                + 2 * max by (criterion, phase) (loom_criterion_status{@, status="fail"})""",
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

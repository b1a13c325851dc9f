"""The resource library: is everything there, and does it fit together?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.board import Row
from grafana.judged import condition_on
from grafana.looks import bad_below, bad_from
from grafana.panels import Query, lines
from grafana.tables import Label, Value, rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana_foundation_sdk.builders import table, timeseries

    from exporter.catalog import Deployment

ROWS_KEPT = 0.95
"""People delete things; a twentieth within a week they do not."""

_COUNTED = {
    "loom_users": "users",
    "loom_resource_collections": "collections",
    "loom_resource_collection_items": "items of collections",
    "loom_resource_progress_records": "progress records",
}


def library(deployment: Deployment) -> Sequence[Row]:
    """Return the row about the resource library."""
    return [Row("Resource library", [_kept(), _findings(deployment)])]


def _kept() -> timeseries.Panel:
    return lines(
        "Rows, of those before the deployment",
        f"""Rows now over rows in the baseline. It should stay at 100 % and grow; below
        {ROWS_KEPT:.0%} something deleted what belongs to people: stop it, and compare with the
        backup.""",
        *(
            Query(f"max({metric}{{@}}) / max({metric}_baseline{{@}} > 0)", name)
            for metric, name in _COUNTED.items()
        ),
        unit="percentunit",
        width=12,
        height=10,
        steps=bad_below(ROWS_KEPT),
    )


def _findings(deployment: Deployment) -> table.Panel:
    judged = "|".join(condition_on(deployment, "loom_resource_findings").labels["check"])
    return rows(
        "Findings of the validation",
        """Rows that fail a check of validate_resource_library_data.sql, before and now. Not more
        than before is good. Ordinary use leaves empty collections and progress on what is no longer
        shared, so those are not judged. If others grow, the rls phase let through what it should
        not.""",
        [Label("check", "Check")],
        [
            Value("Before", "max by (check) (loom_resource_findings_baseline{@})"),
            Value("Now", "max by (check) (loom_resource_findings{@})"),
            Value(
                "New",
                f"""max by (check) (loom_resource_findings{{@, check=~"{judged}"}})
                - max by (check) (loom_resource_findings_baseline{{@}})""",
                steps=bad_from(1),
            ),
        ],
        width=12,
        height=10,
        worst_first="New",
    )

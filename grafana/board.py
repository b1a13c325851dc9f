"""A dashboard: its panels in rows, and what all dashboards have in common.

Plain JSON of Grafana's classic schema, which Grafana 9.4 and all later ones take.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from grafana.panels import DATASOURCE, promql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana_foundation_sdk.cog.builder import Builder

TAG = "loom"

_KEPT = "${__url_time_range}&" + "&".join(
    f"${{{variable}:queryparam}}" for variable in ("datasource", "job", "instance", "database")
)


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side, 24 columns to a line; without a title, no heading."""

    title: str | None
    panels: Sequence[Builder[model.Panel]]


@dataclass(frozen=True, slots=True)
class Board:
    """All that is a dashboard's own. `variables` are names of labels, of statements."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    since: str = "now-6h"
    variables: Sequence[str] = ()


def link_to(uid: str, *parameters: str) -> str:
    """Return the address of a dashboard about the same database and the same time."""
    return f"/d/{uid}?" + "&".join((_KEPT, *parameters))


def render(board: Board) -> str:
    """Return the dashboard as JSON, the same for the same board."""
    dashboard = (
        build.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG, "postgresql"])
        .readonly()
        .timezone("browser")
        .refresh("1m")
        .time(board.since, "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(_links())
        .variables(_variables(board.variables))
    )
    for row in board.rows:
        if row.title:
            dashboard.with_row(build.Row(row.title))
        for panel in row.panels:
            dashboard.with_panel(panel)
    built = dashboard.build()
    for number, each in enumerate(built.panels or (), start=1):
        each.id_val = number
    data = json.loads(JSONEncoder().encode(built))
    data["annotations"] = {"list": _annotations()}
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _links() -> build.DashboardLink:
    return (
        build.DashboardLink("Loom")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .keep_time(True)
        .include_vars(True)
    )


def _variables(labels: Sequence[str]) -> list[Builder[model.VariableModel]]:
    source = build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    job = _several("job", "Job", "label_values(loom_exporter_build_info, job)")
    instance = _several(
        "instance", "Instance", 'label_values(loom_exporter_build_info{job=~"$job"}, instance)'
    )
    database = _choice(
        "database",
        "Database",
        'label_values(loom_database_up{job=~"$job", instance=~"$instance"}, database)',
    )
    known = promql("loom_statement_calls_total{@}")
    own = [
        _several(label, label.capitalize(), f"label_values({known}, {label})") for label in labels
    ]
    return [source, job, instance, database, *own]


def _choice(name: str, label: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(DATASOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def _several(name: str, label: str, query: str) -> build.QueryVariable:
    everything = model.VariableOption(text="All", value="$__all", selected=True)
    return (
        _choice(name, label, query)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(everything)
    )


def _annotations() -> list[dict[str, Any]]:
    """Return the marks on the time axis, plainly, as the SDK does not know all of their keys."""
    return [
        _mark("Deployment", "blue", f"max by (phase) ({_DEPLOYED}) * 1000", "{{phase}} deployed"),
        _mark("History", "purple", f"max({_REWRITTEN}) * 1000", "history of migrations rewritten"),
        _mark("Alerts", "red", FIRING, "{{alertname}}") | {"useValueForTime": False},
    ]


_DEPLOYED = "loom_deployment_timestamp_seconds{@}"
_REWRITTEN = "loom_deployment_history_rewritten_timestamp_seconds{@}"

LOOM_ALERTS = 'alertname=~"Loom.+", database=~"$database|"'
"""An alert need not have the labels of a scrape, nor be about a database."""

FIRING = f"""
    max by (alertname, severity, phase) (ALERTS{{alertstate="firing", {LOOM_ALERTS}}})
"""


def _mark(name: str, colour: str, expression: str, title: str) -> dict[str, Any]:
    return {
        "name": name,
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "expr": promql(expression),
        "step": "1m",
        "titleFormat": title,
        # The value is the time, in milliseconds: a mark stands where the event was, not where it
        # was first seen.
        "useValueForTime": True,
    }

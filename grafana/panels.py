"""The kinds of panels there are, and how their queries name what is watched.

In an expression, `@` among the matchers stands for the series of the selected database, `@chosen`
for those of the selected classes and roles of it, and `@process` for those of the exporter's
process, which have no database.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models import prometheus as model

from grafana.looks import UNJUDGED, mappings, thresholds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grafana.looks import Step, Word

DATASOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="$datasource")

_PROCESS = 'job=~"$job", instance=~"$instance"'
_DATABASE = f'{_PROCESS}, database="$database"'
_CHOSEN = f'{_DATABASE}, class=~"$class", role=~"$role"'

_MIN_STEP = "1m"
"""Most queries run once or twice a minute: a rate over less would be a row of teeth."""

P = TypeVar("P", stat.Panel, timeseries.Panel, statetimeline.Panel)


class Query(NamedTuple):
    """An expression, and what its series are called."""

    expression: str
    legend: str


class Link(NamedTuple):
    """Where a click on a value leads to."""

    title: str
    url: str


def promql(expression: str) -> str:
    """Return the expression on one line, with the matchers that `@` stands for."""
    line = " ".join(expression.split())
    for mark, matchers in (("@process", _PROCESS), ("@chosen", _CHOSEN), ("@", _DATABASE)):
        line = line.replace(mark, matchers)
    return line


def number(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    width: int,
    height: int = 4,
    steps: Sequence[Step] = UNJUDGED,
    words: Mapping[str, Word] | None = None,
) -> stat.Panel:
    """Return a panel of one number, or of a few, as they are now."""
    panel = (
        stat.Panel()
        .unit(unit)
        .thresholds(thresholds(steps))
        .mappings(mappings(words or {}))
        .no_value("no data")
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(build_common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    for ref, query in zip(string.ascii_uppercase, queries, strict=False):
        panel.with_target(_target(ref, query).instant())
    return _described(panel, title, description, width, height)


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    width: int,
    height: int = 8,
    steps: Sequence[Step] = UNJUDGED,
    dashed: str | None = None,
    stacked: bool = False,
    link: Link | None = None,
) -> timeseries.Panel:
    """Return a panel of values over time; where there are `steps`, a line shows where they are.

    `dashed` is a regular expression for the names of series that are only to be compared with.
    """
    panel = (
        timeseries.Panel()
        .unit(unit)
        .thresholds(thresholds(steps))
        .no_value("no data")
        .interval(_MIN_STEP)
        .color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC))
        .axis_soft_min(0)
        .fill_opacity(30 if stacked else 0)
        .legend(
            build_common.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(
            build_common.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
    )
    if steps is not UNJUDGED:
        panel.thresholds_style(
            build_common.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        )
    if stacked:
        panel.stacking(build_common.StackingConfig().mode(common.StackingMode.NORMAL))
    if dashed:
        style = dashboard.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [6, 6]})
        panel.override_by_regexp(dashed, [style])
    if link:
        panel.data_links([data_link(link)])
    for ref, query in zip(string.ascii_uppercase, queries, strict=False):
        panel.with_target(_target(ref, query).range())
    return _described(panel, title, description, width, height)


def states(
    title: str,
    description: str,
    query: Query,
    *,
    width: int,
    height: int,
    steps: Sequence[Step],
    words: Mapping[str, Word],
) -> statetimeline.Panel:
    """Return a panel of what was the state of each series when."""
    panel = (
        statetimeline.Panel()
        .unit("none")
        .thresholds(thresholds(steps))
        .mappings(mappings(words))
        .no_value("no data")
        .interval(_MIN_STEP)
        .show_value(common.VisibilityMode.NEVER)
        .merge_values(True)
        .with_target(_target("A", query).range())
    )
    return _described(panel, title, description, width, height)


def data_link(link: Link) -> build.DashboardLink:
    """Return the link as Grafana has it."""
    return build.DashboardLink(link.title).url(link.url)


def _target(ref: str, query: Query) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(ref)
        .datasource(DATASOURCE)
        .expr(promql(query.expression))
        .legend_format(query.legend)
        .format(model.PromQueryFormat.TIME_SERIES)
    )


def _described(panel: P, title: str, description: str, width: int, height: int) -> P:
    return (
        panel.title(title)
        .description(" ".join(description.split()))
        .datasource(DATASOURCE)
        .span(width)
        .height(height)
    )

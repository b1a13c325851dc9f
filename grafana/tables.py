"""Tables: one row for each thing that is told apart, one column for each query about it."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, NamedTuple

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import prometheus, table
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models import prometheus as model

from grafana.looks import UNJUDGED, mappings, thresholds
from grafana.panels import DATASOURCE, data_link, promql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grafana.looks import Step, Word
    from grafana.panels import Link


class Label(NamedTuple):
    """A column that says which thing a row is about: a label of every query's series."""

    label: str
    title: str
    words: Mapping[str, Word] | None = None
    link: Link | None = None
    width: int | None = None


class Value(NamedTuple):
    """A column of numbers: what one query says of each thing."""

    title: str
    expression: str
    unit: str = "none"
    steps: Sequence[Step] = UNJUDGED
    words: Mapping[str, Word] | None = None
    decimals: int | None = None


def rows(
    title: str,
    description: str,
    labels: Sequence[Label],
    values: Sequence[Value],
    *,
    width: int,
    height: int = 8,
    worst_first: str | None = None,
    no_value: str = "–",
) -> table.Panel:
    """Return a table; `worst_first` is the column by which it is sorted, from the greatest down."""
    panel = (
        table.Panel()
        .title(title)
        .description(" ".join(description.split()))
        .datasource(DATASOURCE)
        .span(width)
        .height(height)
        .unit("none")
        .no_value(no_value)
        .thresholds(thresholds(UNJUDGED))
        .with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(_organize(labels, values))
    )
    for ref, value in zip(string.ascii_uppercase, values, strict=False):
        panel.with_target(
            prometheus.Dataquery()
            .ref_id(ref)
            .datasource(DATASOURCE)
            .expr(promql(value.expression))
            .format(model.PromQueryFormat.TABLE)
            .legend_format("")
            .instant()
        )
    for label in labels:
        panel.override_by_name(label.title, _label_properties(label))
    for value in values:
        panel.override_by_name(value.title, _value_properties(value))
    if worst_first:
        panel.sort_by([build_common.TableSortByFieldState().display_name(worst_first).desc(True)])
    return panel


def _organize(labels: Sequence[Label], values: Sequence[Value]) -> dashboard.DataTransformerConfig:
    # Grafana numbers the columns of values only where there are several.
    refs = [f"Value #{ref}" for ref in string.ascii_uppercase] if len(values) > 1 else ["Value"]
    names = {
        **{label.label: label.title for label in labels},
        **dict(zip(refs, [value.title for value in values], strict=False)),
    }
    return dashboard.DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": {"Time": True},
            "indexByName": {name: index for index, name in enumerate(names)},
            "renameByName": names,
        },
    )


def _label_properties(label: Label) -> list[dashboard.DynamicConfigValue]:
    properties = []
    if label.words:
        properties.append(dashboard.DynamicConfigValue("mappings", mappings(label.words)))
        properties.append(_CELL_COLOUR)
    if label.link:
        properties.append(dashboard.DynamicConfigValue("links", [data_link(label.link).build()]))
    if label.width:
        properties.append(dashboard.DynamicConfigValue("custom.width", label.width))
    return properties


def _value_properties(value: Value) -> list[dashboard.DynamicConfigValue]:
    properties = [dashboard.DynamicConfigValue("unit", value.unit)]
    if value.steps is not UNJUDGED:
        steps = thresholds(value.steps).build()
        properties.append(dashboard.DynamicConfigValue("thresholds", steps))
        properties.append(_CELL_COLOUR)
    if value.words:
        properties.append(dashboard.DynamicConfigValue("mappings", mappings(value.words)))
    if value.decimals is not None:
        properties.append(dashboard.DynamicConfigValue("decimals", value.decimals))
    return properties


_CELL_COLOUR = dashboard.DynamicConfigValue("custom.cellOptions", {"type": "color-text"})

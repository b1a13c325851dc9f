"""The committed dashboards as Grafana reads them: panels, their queries, and their colours."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FOLDER = Path(__file__).parents[2] / "grafana" / "dashboards"

RED = "red"

Steps = tuple[tuple[float, str], ...]
"""From which value on which colour."""


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    ref: str
    expression: str
    legend: str
    is_range: bool

    def filled(self, variables: Mapping[str, str]) -> str:
        """Return the expression with values for what Grafana puts in."""
        return fill(self.expression, variables)


@dataclass(frozen=True)
class Panel:
    """A panel of a dashboard; `name` is unique among all."""

    board: str
    json: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.board}: {self.json['title']}"

    @property
    def kind(self) -> str:
        return str(self.json["type"])

    @cached_property
    def targets(self) -> Sequence[Target]:
        return [
            Target(each["refId"], each["expr"], each["legendFormat"], bool(each["range"]))
            for each in self.json["targets"]
        ]

    @cached_property
    def columns(self) -> Mapping[str, str]:
        """What a table calls its fields; nothing for other panels."""
        organize = (each for each in self.json.get("transformations", ()) if each["id"] != "merge")
        return {
            field: title
            for each in organize
            for field, title in each["options"]["renameByName"].items()
        }

    def title_of(self, target: Target) -> str:
        """Return the title of a table's column that shows this query."""
        return self.columns.get(f"Value #{target.ref}") or self.columns["Value"]

    def properties(self, title: str) -> Mapping[str, Any]:
        """Return what is set for the field of that title alone."""
        return {
            each["id"]: each["value"]
            for override in self.json["fieldConfig"]["overrides"]
            if override["matcher"] == {"id": "byName", "options": title}
            for each in override["properties"]
        }

    def steps(self, target: Target) -> Steps:
        """Return the colours of the values of this query."""
        thresholds = self.json["fieldConfig"]["defaults"]["thresholds"]
        if self.kind == "table":
            thresholds = self.properties(self.title_of(target)).get("thresholds", thresholds)
        return tuple(
            (float("-inf") if step["value"] is None else step["value"], step["color"])
            for step in thresholds["steps"]
        )

    def is_only_compared_with(self, target: Target) -> bool:
        """Return whether a query is drawn dashed, beside the one that matters."""
        overrides = self.json["fieldConfig"]["overrides"]
        dashed = [
            each["matcher"]["options"].strip("/")
            for each in overrides
            if each["matcher"]["id"] == "byRegexp"
        ]
        return any(re.search(pattern, target.legend) for pattern in dashed)

    def unit(self, target: Target) -> str | None:
        """Return the unit of the values of this query."""
        unit: str | None = self.json["fieldConfig"]["defaults"].get("unit")
        if self.kind == "table":
            unit = self.properties(self.title_of(target)).get("unit", unit)
        return unit


def boards() -> Mapping[str, Mapping[str, Any]]:
    """Return every dashboard by its uid."""
    read = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.rglob("*.json")))
    return {board["uid"]: board for board in read}


def panels() -> Iterator[Panel]:
    """Yield the panels of all dashboards, without the headings of rows."""
    for uid, board in boards().items():
        for panel in board["panels"]:
            if panel["type"] != "row":
                yield Panel(uid, panel)


def fill(expression: str, variables: Mapping[str, str]) -> str:
    """Return the expression with values for the variables of a dashboard, or of Grafana."""
    for name in sorted(variables, key=len, reverse=True):
        expression = expression.replace(f"${name}", variables[name])
    return expression


def colour_of(value: float, steps: Steps) -> str:
    """Return the colour that Grafana gives a value: that of the last step that it reaches."""
    return next(colour for start, colour in reversed(steps) if value >= start)

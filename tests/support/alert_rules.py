"""The alert rules as data, and what is known of the metrics that they may use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import promql_parser
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ALERTS = Path(__file__).parents[2] / "alerts"
OF_LOOM = sorted((ALERTS / "rules" / "loom").glob("*.yaml"))
RULE_FILES = [*sorted((ALERTS / "rules").glob("*.yaml")), *OF_LOOM]
TEST_FILES = sorted((ALERTS / "tests").rglob("*.yaml"))
RUNBOOKS = ALERTS / "runbooks"


@dataclass(frozen=True)
class Rule:
    """One rule of a file; either `alert` or `record` names it."""

    file: Path
    raw: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.raw.get("alert") or self.raw["record"])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.raw.get("labels", {}))

    @property
    def annotations(self) -> dict[str, str]:
        return dict(self.raw.get("annotations", {}))

    @cached_property
    def nodes(self) -> list[Any]:
        """All parts of the expression."""
        found: list[Any] = []
        promql_parser.walk(promql_parser.parse(self.raw["expr"]), found.append)
        return found

    def selectors(self) -> Iterator[Any]:
        """Yield the selectors, also those within a range."""
        for node in self.nodes:
            if isinstance(node, promql_parser.VectorSelector):
                yield node


def _rules(kind: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(path, raw)
        for path in RULE_FILES
        for raw in _all(path, "groups", "rules")
        if kind in raw
    )


def _all(path: Path, *keys: str) -> list[dict[str, Any]]:
    items = [yaml.safe_load(path.read_text(encoding="utf-8"))]
    for key in keys:
        items = [each for item in items for each in item.get(key, ())]
    return items


ALERTING = _rules("alert")
RECORDING = _rules("record")
GROUPS = [group for path in RULE_FILES for group in _all(path, "groups")]
CASES = [case for path in TEST_FILES for case in _all(path, "tests", "alert_rule_test")]
"""What the tests of promtool expect of alerts, at one time each."""
INPUT_SERIES = [
    series["series"] for path in TEST_FILES for series in _all(path, "tests", "input_series")
]

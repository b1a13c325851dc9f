"""What the demo tells: a few numbers of /metrics, each the sum of some series."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from exporter.documents import parse_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Watched:
    """A number worth telling: the sum of the series of `metric` whose labels match."""

    text: str
    metric: str
    labels: Mapping[str, str] = field(default_factory=dict)


def read_story(path: Path) -> list[Watched]:
    """Read what is to be told from a YAML file."""
    document = parse_document(path.read_text(encoding="utf-8"), str(path))
    return [Watched(**entry) for entry in document.data["watch"]]


def sums(page: str, watched: Sequence[Watched]) -> list[float]:
    """Return the sum of each watched number on a page of /metrics; NaN where there is no series."""
    totals = [math.nan] * len(watched)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            for number, each in enumerate(watched):
                if sample.name == each.metric and each.labels.items() <= sample.labels.items():
                    so_far = totals[number]
                    totals[number] = sample.value + (0.0 if math.isnan(so_far) else so_far)
    return totals


def runs(page: str) -> dict[str, float]:
    """Return how often each query has run, as a page of /metrics says."""
    return {
        sample.labels["query"]: sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "loom_exporter_query_runs_total"
    }


def table(watched: Sequence[Watched], columns: Mapping[str, Sequence[float]]) -> str:
    """Return the numbers side by side, a row for each, under the names of the columns."""
    width = max(len(each.text) for each in watched)
    lines = [" " * width + "".join(f"{name:>12}" for name in columns)]
    for number, each in enumerate(watched):
        values = "".join(f"{_number(column[number]):>12}" for column in columns.values())
        lines.append(f"{each.text:<{width}}{values}")
    return "\n".join(lines)


def _number(value: float) -> str:
    return "absent" if math.isnan(value) else f"{value:g}"

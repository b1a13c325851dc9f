"""What the demo tells: numbers of /metrics, and what befalls a deployment in some scenarios."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from exporter.run_state import State
from exporter.yaml_source import read_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Watched:
    """A number worth telling: the sum of the series of `metric` whose labels match.

    With `per`, a counter too, it is what one has grown by since the last look, divided by what
    the other has. In seconds where `unit` is ms.
    """

    text: str
    metric: str
    per: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    unit: Literal["ms"] | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What happens after the deployment, and the name of the look that follows.

    An SQL file is run, or calls of the application begin to fail: this share of them.
    """

    text: str
    look: str
    file: str = ""
    error_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Story:
    """All that is told. `turns` is by scenario; most deployments are left alone."""

    watched: Sequence[Watched]
    turns: Mapping[str, Turn]


class StoryTotals(NamedTuple):
    """Sums of the two metrics of one number; NaN where there is no series."""

    value: float
    per: float


def read_story(path: Path) -> Story:
    """Read what is to be told from a YAML file."""
    document = read_document(path)
    return Story(
        [Watched(**entry) for entry in document.data["watch"]],
        {scenario: Turn(**entry) for scenario, entry in document.data["turns"].items()},
    )


def totals(page: str, watched: Sequence[Watched]) -> list[StoryTotals]:
    """Return the sums of each watched number on a page of /metrics."""
    samples = [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    ]

    def total(metric: str | None, labels: Mapping[str, str]) -> float:
        values = [
            value
            for name, sample_labels, value in samples
            if name == metric and labels.items() <= sample_labels.items()
        ]
        return sum(values) if values else math.nan

    return [
        StoryTotals(total(each.metric, each.labels), total(each.per, each.labels))
        for each in watched
    ]


RUNS = ("loom_exporter_query_runs_total", "loom_exporter_query_state")
"""The metrics that `runs` reads."""


def runs(page: str) -> dict[str, float]:
    """Return how often each query has run, as a page of /metrics says.

    A query whose source is not configured has nothing to ask, and is left out.
    """
    counts: dict[str, float] = {}
    unconfigured: set[str] = set()
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == "loom_exporter_query_runs_total":
                counts[sample.labels["query"]] = sample.value
            elif sample.labels.get("state") == State.UNCONFIGURED and sample.value:
                unconfigured.add(sample.labels["query"])
    return {query: count for query, count in counts.items() if query not in unconfigured}


def is_open(verdict: str) -> bool:
    """Return whether it is not to be told yet, and not because somebody still has to sign.

    Args:
        verdict: as JSON, or nothing while there is none.
    """
    if not verdict:
        return True
    told = json.loads(verdict)
    return told["verdict"] == "inconclusive" and any(
        each["status"] == "inconclusive" and not each["manual"] for each in told["criteria"]
    )


def table(watched: Sequence[Watched], looks: Mapping[str, Sequence[StoryTotals]]) -> str:
    """Return the numbers side by side, a row for each, under the names of the looks."""
    width = max(len(each.text) for each in watched)
    lines = [" " * width + "".join(f"{name:>12}" for name in looks)]
    for number, each in enumerate(watched):
        cells = _cells(each, [look[number] for look in looks.values()])
        lines.append(f"{each.text:<{width}}" + "".join(f"{cell:>12}" for cell in cells))
    return "\n".join(lines)


def _cells(watched: Watched, looks: Sequence[StoryTotals]) -> Iterator[str]:
    last = StoryTotals(0.0, 0.0)
    for now in looks:
        if watched.per is None:
            yield _number(now.value, watched.unit)
            continue
        count = now.per - last.per
        yield _number((now.value - last.value) / count if count else math.nan, watched.unit)
        if not math.isnan(now.per):
            last = now


def _number(value: float, unit: str | None) -> str:
    if math.isnan(value):
        return "absent"
    if unit == "ms":
        return f"{value * 1000:.3f} ms"
    return f"{value:.0f}" if value.is_integer() else f"{value:.2f}"

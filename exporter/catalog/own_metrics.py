"""The registry of the exporter's own metrics: all that no query feeds, as own_metrics.yaml has it.

From an entry follow what /metrics serves, its line in docs/metrics.md, and that no query may use
its name.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import Field, TypeAdapter

from exporter.catalog.metric import Metric
from exporter.catalog.terms import Identifier, Model
from exporter.yaml_source import parse_document

RESERVED_PREFIXES = (
    "loom_baseline_",
    "loom_criterion_",
    "loom_daily_check_",
    "loom_exporter_",
    "loom_probe_",
    "loom_statement",
    "loom_suite_",
    "process_",
    "python_",
)
"""Names that no query may use, so that a later own metric cannot break a pack."""


class OwnMetric(Metric):
    """A metric that no query feeds."""

    values: Mapping[str, tuple[str, ...]] = {}
    """All values of a label, where they are fixed."""


class Section(Model):
    """Own metrics that are served by one part of the exporter."""

    about: str
    presence: str = "always"
    """When there are samples."""
    has_database: bool = Field(True, alias="database")
    """Whether the label `database` comes before the labels of each metric."""
    metrics: dict[Identifier, OwnMetric]


@cache
def own_sections() -> Mapping[str, Section]:
    """Return the sections of the registry by name, in the order of the file."""
    path = Path(__file__).with_suffix(".yaml")
    document = parse_document(path.read_text(encoding="utf-8"), path.name)
    return TypeAdapter(dict[str, Section]).validate_python(document.data)


@cache
def own_metrics(*sections: str) -> Mapping[str, OwnMetric]:
    """Return the metrics of these sections, or of all, by name."""
    return {
        name: metric
        for section in sections or own_sections()
        for name, metric in own_sections()[section].metrics.items()
    }


@cache
def reserved_families() -> frozenset[str]:
    """Return what OpenMetrics calls the own metrics; no query may use one of these names."""
    return frozenset(metric.family(name) for name, metric in own_metrics().items())


def fixed_values(name: str) -> tuple[str, ...]:
    """Return all values of the last label of an own metric."""
    metric = own_metrics()[name]
    return metric.values[metric.labels[-1]]


def one_hot(name: str, value: str | None, *labels: str) -> dict[tuple[str, ...], float]:
    """Return a sample for each value of the last label of an own metric: 1 for `value`, else 0.

    Args:
        name: of the metric.
        value: the one that is true now; None if none is.
        labels: values of the labels before the last.
    """
    return {(*labels, each): float(each == value) for each in fixed_values(name)}

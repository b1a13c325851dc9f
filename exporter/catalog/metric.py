"""What /metrics says of a metric, whether a query feeds it or the exporter itself."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from exporter.catalog.terms import Model
from exporter.yaml_source import rule_in_words

_COLUMN = r"^[a-z_][a-z0-9_]*$"
_SENTENCE = r"^[A-Z].*\.$"
_RESERVED_LABELS = {"database", "le", "quantile", "job", "instance"}

SUFFIX: Mapping[str, str] = {
    "counter": "_total",
    "info": "_info",
    "change_timestamp": "_timestamp_seconds",
}
"""How the name of a metric ends, by its type."""

Column = Annotated[
    str,
    StringConstraints(pattern=_COLUMN, max_length=63),
    rule_in_words(_COLUMN, "a column is named in lower case, digits and _"),
]
"""A result column; lower-case, so that SQL and labels spell it alike without quotes."""

Sentence = Annotated[
    str,
    StringConstraints(pattern=_SENTENCE, max_length=300),
    rule_in_words(
        _SENTENCE, "must be a sentence on one line, from a capital letter to a full stop"
    ),
]


def _label(name: str) -> str:
    if name in _RESERVED_LABELS or name.startswith("__"):
        raise ValueError(f"`{name}` is set by the exporter or by Prometheus; choose another label")
    return name


class Metric(Model):
    """The type, the help and the labels of a metric."""

    type: Literal["gauge", "counter", "info", "histogram", "change_timestamp"]
    help: Sentence = Field(description="one sentence, shown by Prometheus and Grafana")
    labels: tuple[Annotated[Column, AfterValidator(_label)], ...] = Field(
        (), description="columns that become labels, in this order"
    )

    @property
    def exposed_type(self) -> str:
        """The type by which Prometheus knows the metric."""
        return "gauge" if self.type == "change_timestamp" else self.type

    def family(self, name: str) -> str:
        """Return what OpenMetrics calls the metric `name`: without the suffix of its type."""
        return name.removesuffix(SUFFIX[self.type]) if self.type in ("counter", "info") else name

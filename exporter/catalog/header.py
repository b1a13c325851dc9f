"""The header of a query: the YAML in the first comment of its file, as a pydantic model.

Its JSON Schema is published as `queries/header.schema.json`.
"""

import re
from typing import Annotated, Literal, Self

from apscheduler.triggers.cron import CronTrigger
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from exporter.catalog.requirement import ExtensionRequirement, ServerRequirement
from exporter.durations import Duration
from exporter.yaml_source import rule_in_words

MetricType = Literal["gauge", "counter", "info", "change_timestamp"]

_COLUMN = r"^[a-z_][a-z0-9_]*$"
_NAME = r"^[a-z][a-z0-9_]*$"
_SENTENCE = r"^[A-Z].*\.$"
_RELATION = r"^[^\s.]+\.[^\s.]+$"

Column = Annotated[
    str,
    StringConstraints(pattern=_COLUMN, max_length=63),
    rule_in_words(_COLUMN, "a column is named in lower case, digits and _"),
]
"""A result column; lower-case, so that SQL and labels spell it alike without quotes."""

LowerCaseName = Annotated[
    str,
    StringConstraints(pattern=_NAME),
    rule_in_words(_NAME, "must be in lower case, digits and _, beginning with a letter"),
]

Sentence = Annotated[
    str,
    StringConstraints(pattern=_SENTENCE, max_length=300),
    rule_in_words(
        _SENTENCE, "must be a sentence on one line, from a capital letter to a full stop"
    ),
]

Relation = Annotated[
    str,
    StringConstraints(pattern=_RELATION),
    rule_in_words(_RELATION, "must be a relation with its schema, such as public.users"),
]

_RESERVED_LABELS = {"database", "le", "quantile", "job", "instance"}
_RESERVED_PREFIXES = (
    "loom_baseline_",
    "loom_criterion_",
    "loom_daily_check_",
    "loom_exporter_",
    "loom_statement",
    "process_",
    "python_",
)
_RESERVED_FAMILIES = {
    "loom_database_up",
    "loom_deployment_history_rewritten_timestamp_seconds",
    "loom_deployment_timestamp_seconds",
    "loom_deployment_verdict",
    "loom_deployment_warmup_active",
}
_SUFFIX = {"counter": "_total", "info": "_info", "change_timestamp": "_timestamp_seconds"}


def _label(name: str) -> str:
    if name in _RESERVED_LABELS or name.startswith("__"):
        raise ValueError(f"`{name}` is set by the exporter or by Prometheus; choose another label")
    return name


def _cron(text: str) -> str:
    fields = text.split()
    if len(fields) != 5:
        raise ValueError("must be five cron fields, such as `0 6 * * *` (UTC)")
    if re.search(r"\d", fields[4]):
        # APScheduler counts 0 as Monday, cron counts it as Sunday: only names mean one thing.
        raise ValueError("name the days of the week (mon, tue, …) instead of numbering them")
    try:
        CronTrigger.from_crontab(text, timezone="UTC")
    except ValueError as error:
        raise ValueError(f"not a cron expression: {error}") from None
    return text


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Metric(_Model):
    """How columns of the result become the samples of one metric."""

    type: MetricType = Field(
        description="kind of metric; change_timestamp: Unix time at which a token changed"
    )
    help: Sentence = Field(description="one sentence, shown by Prometheus and Grafana")
    labels: tuple[Annotated[Column, AfterValidator(_label)], ...] = Field(
        (), description="columns that become labels, in this order"
    )
    value: Column | None = Field(
        None, description="column of the number, or of the token; none for an info"
    )
    at: Column | None = Field(
        None,
        description="change_timestamp only: column of the exact Unix time, if the server knows it",
    )
    null: Literal["skip", "error"] = Field(
        "skip", description="what a NULL value means: no sample, or a failed run; never 0"
    )
    baseline: bool = Field(False, description="remember this gauge as it was before the deployment")

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if (self.value is None) != (self.type == "info"):
            raise ValueError("an info has no `value`; every other metric needs one")
        if self.type == "info" and not self.labels:
            raise ValueError("an info says what its `labels` say; give it one")
        if self.at and self.type != "change_timestamp":
            raise ValueError("`at` belongs to a change_timestamp only")
        if self.baseline and self.type != "gauge":
            raise ValueError("only a gauge can have a `baseline`")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label stands twice in `labels`")
        if self.value in self.labels:
            raise ValueError(f"column `{self.value}` is both a label and the value")
        return self

    def family(self, name: str) -> str:
        """Return what OpenMetrics calls the metric `name`: without the suffix of its type."""
        return name.removesuffix(_SUFFIX[self.type]) if self.type in ("counter", "info") else name


class Requires(_Model):
    """What must be there for the query to mean anything; without it the query is `absent`."""

    relations: tuple[Relation, ...] = Field(
        (), description="schema.name of tables and views; populated if materialized"
    )
    extensions: tuple[ExtensionRequirement, ...] = Field(
        (), description="such as `pg_cron` or `pg_cron >= 1.4`"
    )
    server: ServerRequirement | None = Field(None, description="such as `>= 15`")


class Header(_Model):
    """The YAML in the first comment of a query's file."""

    description: Sentence = Field(description="what the query counts, in one sentence")
    phase: LowerCaseName = Field(
        description="phase of the deployment (deployment.yaml) that it watches, or `all`"
    )
    interval: Duration | None = Field(None, description="time between two runs")
    schedule: Annotated[str, AfterValidator(_cron)] | None = Field(
        None, description="instead of an interval: five cron fields, UTC"
    )
    # Whoever wants to change a table waits for what we read of it, so this is also the longest
    # that a migration can be held up.
    # Less than a millisecond would be 0 for the server, which means no limit.
    timeout: Annotated[Duration, Field(ge=0.001, le=60)] = Field(
        1.0, description="statement_timeout of one run"
    )
    access: Literal["direct", "definer"] = Field(
        "direct",
        description="definer: reads application tables, through a function that `grants` installs",
    )
    max_age: Duration | None = Field(
        None, description="age at which values are dropped; default three intervals"
    )
    series_limit: int = Field(
        200, ge=1, le=10_000, description="most series of one run; the rest is counted"
    )
    requires: Requires = Field(default_factory=lambda: Requires(), description="what must exist")
    metrics: dict[LowerCaseName, Metric] = Field(
        min_length=1,
        description="the metrics that the query feeds, by name",
        json_schema_extra={"additionalProperties": False},
    )

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if (self.interval is None) == (self.schedule is None):
            raise ValueError("give either `interval` or `schedule`")
        if self.interval and self.timeout >= self.interval:
            raise ValueError("`timeout` must be shorter than `interval`")
        return self

    @field_validator("metrics")
    @classmethod
    def _names_fit_types(cls, metrics: dict[str, Metric]) -> dict[str, Metric]:
        for name, metric in metrics.items():
            suffix = _SUFFIX.get(metric.type)
            if suffix and not name.endswith(suffix):
                raise ValueError(f"{name}: the name of a {metric.type} ends with {suffix}")
            if metric.type == "gauge" and name.endswith(("_total", "_info", "_baseline")):
                raise ValueError(f"{name}: this ending is not for a gauge")
            if name.startswith(_RESERVED_PREFIXES):
                raise ValueError(f"{name}: this prefix is the exporter's own")
            if metric.family(name) in _RESERVED_FAMILIES:
                raise ValueError(f"{name}: this name is the exporter's own")
        return metrics

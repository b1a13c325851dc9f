"""The header of a query, as a pydantic model: what every kind has, and that of a `.sql` file.

The JSON Schemas are published as `queries/header.schema.json` and `queries/http.schema.json`.
"""

import re
from typing import Annotated, Literal, Self

from apscheduler.triggers.cron import CronTrigger
from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from exporter.catalog.metric import SUFFIX, Column, Metric, Sentence
from exporter.catalog.own_metrics import RESERVED_PREFIXES, reserved_families
from exporter.catalog.relation_name import QUALIFIED_PATTERN, QUALIFIED_RULE
from exporter.catalog.requirement import ExtensionRequirement, ServerRequirement
from exporter.catalog.terms import Identifier, Model
from exporter.durations import Duration
from exporter.yaml_source import rule_in_words

Relation = Annotated[
    str,
    StringConstraints(pattern=QUALIFIED_PATTERN),
    rule_in_words(QUALIFIED_PATTERN, QUALIFIED_RULE),
]
"""A relation with its schema, spelt as the catalog has it."""


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


class QueryMetric(Metric):
    """How columns of the result become the samples of one metric."""

    type: Literal["gauge", "counter", "info", "change_timestamp"] = Field(
        description="kind of metric; change_timestamp: Unix time at which a token changed"
    )
    value: Column | None = Field(
        None, description="column of the number, or of the token; none for an info"
    )
    at: Column | None = Field(
        None,
        description="change_timestamp only: column of the exact Unix time, if the server knows it",
    )
    null: Literal["skip", "error"] = Field(
        "skip",
        description="what a value that is not known (NULL, NaN, infinite) means: no sample, or a "
        "failed run; never 0",
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


class Requires(Model):
    """What must be there for the query to mean anything; without it the query is `absent`."""

    relations: tuple[Relation, ...] = Field(
        (), description="schema.name of tables and views; populated if materialized"
    )
    extensions: tuple[ExtensionRequirement, ...] = Field(
        (), description="such as `pg_cron` or `pg_cron >= 1.4`"
    )
    server: ServerRequirement | None = Field(None, description="such as `>= 15`")


class CommonHeader(Model):
    """The keys of every header, also of one without metrics of its own."""

    description: Sentence = Field(description="what the query counts, in one sentence")
    phase: Identifier = Field(
        description="phase of the deployment (deployment.yaml) that it watches, or `all`"
    )
    interval: Duration | None = Field(None, description="time between two runs")
    schedule: Annotated[str, AfterValidator(_cron)] | None = Field(
        None, description="instead of an interval: five cron fields, UTC"
    )
    timeout: Duration
    max_age: Duration | None = Field(
        None, description="age at which values are dropped; default three intervals"
    )

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if (self.interval is None) == (self.schedule is None):
            raise ValueError("give either `interval` or `schedule`")
        if self.interval and self.timeout >= self.interval:
            raise ValueError("`timeout` must be shorter than `interval`")
        return self


class BaseHeader(CommonHeader):
    """The keys that the header of a query has; each kind says its own `timeout`."""

    series_limit: int = Field(
        200, ge=1, le=10_000, description="most series of one run; the rest is counted"
    )
    metrics: dict[Identifier, QueryMetric] = Field(
        min_length=1,
        description="the metrics that the query feeds, by name",
        json_schema_extra={"additionalProperties": False},
    )

    @field_validator("metrics")
    @classmethod
    def _names_fit_types(cls, metrics: dict[str, QueryMetric]) -> dict[str, QueryMetric]:
        for name, metric in metrics.items():
            suffix = SUFFIX.get(metric.type)
            if suffix and not name.endswith(suffix):
                raise ValueError(f"{name}: the name of a {metric.type} ends with {suffix}")
            if metric.family(name) in reserved_families():
                raise ValueError(f"{name}: this name is the exporter's own")
            if metric.type == "gauge" and name.endswith(("_total", "_info", "_baseline")):
                raise ValueError(f"{name}: this ending is not for a gauge")
            if name.startswith(RESERVED_PREFIXES):
                raise ValueError(f"{name}: this prefix is the exporter's own")
        return metrics


class Header(BaseHeader):
    """The YAML in the first comment of a `.sql` file."""

    # A migration that changes a table waits for our reads of it, so this is also the longest that
    # it can be held up. Less than a millisecond would be 0 for the server, which means no limit.
    timeout: Annotated[Duration, Field(ge=0.001, le=60)] = Field(
        1.0, description="statement_timeout of one run"
    )
    access: Literal["direct", "definer"] = Field(
        "direct",
        description="definer: reads application tables, through a function that `grants` installs",
    )
    requires: Requires = Field(default_factory=lambda: Requires(), description="what must exist")

"""What a phase of deployment.yaml brings, and what keeps the history of its migrations."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from exporter.catalog import relation_name
from exporter.catalog.terms import Model, Text
from exporter.yaml_source import rule_in_words

OF_A_RELATION = ("trigger", "column", "constraint", "policy")
"""Kinds of objects that are written as `name on relation`."""

ObjectName = Annotated[
    str,
    StringConstraints(pattern=relation_name.PATTERN),
    rule_in_words(relation_name.PATTERN, relation_name.RULE),
]
"""A relation or a function, spelt as the catalog has it."""


_SCHEMA = r"^[^\W\d][\w $-]*$"

SchemaName = Annotated[
    str,
    StringConstraints(pattern=_SCHEMA),
    rule_in_words(_SCHEMA, "must be the name of a schema: letters, digits, _, $, - and spaces"),
]


class Migration(Model):
    """A row that is expected in the history of migrations."""

    version: Text
    """As the history has it: 20251021000001, accounts.0003_split_address, 2.1."""
    name: Text
    """For people, and a label of the metric."""


class DeployedObject(Model):
    """An object that a phase leaves behind, as the label values of its metric name it."""

    kind: Literal[
        "table",
        "view",
        "materialized_view",
        "sequence",
        "index",
        "function",
        "type",
        "trigger",
        "column",
        "constraint",
        "policy",
    ]
    """What it is."""
    object: Text
    """Name, or schema.name; of a function with or without its arguments, `f(uuid, text)`; of what a
    relation has, `name on relation`."""

    @model_validator(mode="after")
    def _names_its_relation(self) -> "DeployedObject":
        if self.kind in OF_A_RELATION and " on " not in self.object:
            raise ValueError(f"a {self.kind} is written as `name on relation`")
        return self


class Policy(Model):
    """A row-level security policy that must be there after the phase."""

    table: ObjectName
    """The table that it is on."""
    policy: Text
    """Its name."""
    command: Literal["select", "insert", "update", "delete", "all"]
    """For what it is."""


HistoryKind = Literal[
    "supabase", "django", "rails", "alembic", "flyway", "liquibase", "probe", "none"
]


class History(Model):
    """What keeps the history of migrations, by which a phase is known to be applied."""

    kind: HistoryKind
    """`probe`: a phase is applied when its objects are there; `none`: by `deploy mark` alone."""
    schema_name: Annotated[SchemaName | None, Field(alias="schema")] = None
    """Of the table of the history, if that is not `public`."""

    @model_validator(mode="after")
    def _has_a_table(self) -> "History":
        if self.schema_name and self.kind in ("supabase", "probe", "none"):
            raise ValueError(f"`schema` does not belong to `kind: {self.kind}`")
        return self

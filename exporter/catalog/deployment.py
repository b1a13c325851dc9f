"""`deployment.yaml`: what the deployment is expected to leave in the database.

The queries state the same facts as SQL, because each must run by itself in psql; a test compares
the two.
"""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from exporter.catalog.criteria import ALL, Criterion, Day, SignOffItem, Tracked
from exporter.catalog.expected import DeployedObject, History, Migration, ObjectName, Policy
from exporter.catalog.terms import Identifier, Model, Text
from exporter.durations import Duration
from exporter.parser import SqlError, parse_sql
from exporter.yaml_source import YamlDocument, YamlError, read_document, rule_in_words

_NAME = r"^[a-z0-9][a-z0-9._-]*$"
_IDENTITY = r"^[0-9a-f]{16}$"

OTHER = "other"
"""The class of a statement that no class claims, and the role of one without series of its own."""


def _notices(text: str) -> str:
    try:
        groups = re.compile(text).groupindex
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if "outcome" not in groups:
        raise ValueError(r"needs the group outcome, such as NOTICE:\s+(?P<outcome>PASS|FAIL)")
    return text


class Rollback(Model):
    """What it means to undo the phase."""

    risk: Literal["low", "medium", "high"]
    advice: Text


class Phase(Model):
    """One phase of the deployment."""

    title: Text
    migrations: tuple[Migration, ...] = ()
    rollback: Rollback
    objects: tuple[DeployedObject, ...] = ()
    policies: tuple[Policy, ...] = ()
    audit_events: tuple[Text, ...] = ()
    owns: tuple[Text, ...] = ()
    """Patterns (`*`, `?`) of tables and other objects: what breaks in them is blamed on it."""


class StatementClass(Model):
    """Statements that are judged together: those that name one of these objects."""

    relations: tuple[ObjectName, ...] = ()
    functions: tuple[ObjectName, ...] = ()
    identities: tuple[
        Annotated[
            str,
            StringConstraints(pattern=_IDENTITY),
            rule_in_words(
                _IDENTITY, "must be the fingerprint of a statement, 16 hexadecimal digits"
            ),
        ],
        ...,
    ] = ()
    """Fingerprints of statements that belong here whatever they name, as behind a view."""
    severity: Literal["critical", "warning"] = "critical"
    """Of the alert when it becomes slow; `warning` opens a ticket and wakes nobody."""
    margin: Annotated[float, Field(ge=1.05, le=10)] | None = None
    """How many times the time of the baseline is still no regression for the verdict; 1.2 by
    default. Alerts have limits of their own."""

    @model_validator(mode="after")
    def _claims_something(self) -> "StatementClass":
        if not (self.relations or self.functions or self.identities):
            raise ValueError("must name relations, functions or identities")
        return self


def _is_one_statement(sql: str) -> str:
    try:
        statements = parse_sql(sql)
    except SqlError as error:
        raise ValueError(f"not SQL: {error}") from None
    if len(statements) != 1:
        raise ValueError("must be one statement")
    return sql


StatementSql = Annotated[
    str, StringConstraints(min_length=1, max_length=10_000), AfterValidator(_is_one_statement)
]
"""One statement; case, white space, comments and literals do not matter."""


class Replacement(Model):
    """A statement that the application runs after the deployment instead of another one."""

    new: StatementSql
    old: StatementSql
    """The statement whose mean call time is the expectation for `new`."""


class Suite(Model):
    """A suite of tests that runs elsewhere, and whose results are recorded."""

    title: Text
    planned: Annotated[int, Field(ge=1)]
    """The least number of tests that must pass."""
    notices: Annotated[str, AfterValidator(_notices)] | None = None
    """For a script that prints its results: the regular expression of a line that reports a test.
    It has the group `outcome` (pass, fail, skip) and perhaps `name`. Others write TAP or JUnit."""


class Deployment(Model):
    """The deployment that is watched. Durations are in seconds."""

    name: Annotated[
        str,
        StringConstraints(pattern=_NAME),
        rule_in_words(_NAME, "must be in lower case, digits and . _ -"),
    ]
    title: Text
    include: Literal["standard"] | None = None
    """Whether the shipped questions that every PostgreSQL answers belong to the pack."""
    history: History | None = None
    """Without it, a query of the pack feeds loom_migration_applied{version}."""
    warmup: Duration
    phases: dict[Identifier, Phase]
    tables: tuple[ObjectName, ...] = ()
    """Without them, those of the exposed schemas; a name alone is of the first of these."""
    api_roles: tuple[Text, ...] = ()
    exposed_schemas: tuple[Text, ...] = ()
    statement_roles: tuple[Text, ...] = ()
    """Roles with series of their own; the statements of all others are `OTHER` together."""
    classes: dict[Identifier, StatementClass] = Field(default_factory=dict)
    """Where two classes claim a statement, the first of them gets it."""
    replacements: tuple[Replacement, ...] = ()
    """Without these, a statement that came with the deployment has nothing to be compared with."""
    slow_statement: Duration = 0.1
    """Seconds; a statement is slow if its calls take longer on average."""
    suites: dict[Identifier, Suite] = Field(default_factory=dict)
    criteria: dict[Identifier, Criterion] = Field(default_factory=dict)
    """What makes it a success, in the order of the report."""
    first_week: dict[Annotated[int, Field(ge=1, le=31)], Day] = Field(default_factory=dict)
    """By the number of the day."""
    sign_offs: dict[Identifier, SignOffItem] = Field(default_factory=dict)
    tracked: tuple[Tracked, ...] = ()
    """The table of before and after."""

    def owner_of(self, name: str) -> str | None:
        """Return the phase that owns an object, or the table behind ` on `; None if none does."""
        table = name.rpartition(" on ")[2]
        for phase, each in self.phases.items():
            if name in {known.object for known in each.objects}:
                return phase
        for phase, each in self.phases.items():
            if any(fnmatchcase(one, pattern) for pattern in each.owns for one in (name, table)):
                return phase
        return None

    @model_validator(mode="after")
    def _versions_are_unique(self) -> "Deployment":
        versions = [
            migration.version for phase in self.phases.values() for migration in phase.migrations
        ]
        for version in versions:
            if versions.count(version) > 1:
                raise ValueError(f"migration {version} stands in two phases")
        if ALL in self.phases:
            raise ValueError(f"`{ALL}` stands for every phase; give the phase another name")
        return self

    @model_validator(mode="after")
    def _classes_can_be_told_apart(self) -> "Deployment":
        if OTHER in self.classes or OTHER in self.statement_roles:
            raise ValueError(f"`{OTHER}` stands for what is in none; leave it out")
        seen: dict[str, str] = {}
        for name, claims in self.classes.items():
            for claim in {*claims.relations, *claims.functions, *claims.identities}:
                if first := seen.get(claim):
                    raise ValueError(f"{claim} stands in two classes, {first} and {name}")
                seen[claim] = name
        return self

    @model_validator(mode="after")
    def _what_is_judged_has_one_name(self) -> "Deployment":
        checks = [name for day in self.first_week.values() for name in day.checks]
        names = [*self.criteria, *checks, *self.sign_offs]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} stands twice among criteria, checks and sign_offs")
        return self


def load_deployment(path: Path) -> tuple[Deployment, YamlDocument]:
    """Read `deployment.yaml`; the document is for errors that are found later.

    Raises:
        YamlError: it is missing, unreadable or malformed.
    """
    document = read_document(path)
    if not isinstance(document.data, dict):
        raise YamlError(str(path), 1, (), "must hold `key: value` pairs, beginning with name")
    try:
        deployment = Deployment.model_validate(document.data)
        return deployment.model_copy(update={"phases": _seen_phases(deployment)}), document
    except ValidationError as invalid:
        raise document.errors(invalid) from None


def _seen_phases(deployment: Deployment) -> dict[str, Phase]:
    """Return the phases with the migrations by which the history shows them.

    Objects are the history of `probe`, with the phase as the version; `none` shows no migration.
    """
    kind = deployment.history.kind if deployment.history else None
    if kind not in ("probe", "none"):
        return deployment.phases
    return {
        name: phase.model_copy(
            update={
                "migrations": (Migration(version=name, name=phase.title),)
                if kind == "probe"
                else ()
            }
        )
        for name, phase in deployment.phases.items()
    }

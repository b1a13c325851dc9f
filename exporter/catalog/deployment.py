"""`deployment.yaml`: what the deployment is expected to leave in the database.

The queries state the same facts as SQL, because each must run by itself in psql; a test compares
the two.
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    model_validator,
)

from exporter.catalog.criteria import (
    ALL,
    Check,
    Condition,
    Criterion,
    SignOffItem,
    Step,
    Tracked,
    conditions_with_places,
)
from exporter.catalog.expected import DeployedObject, History, Migration, ObjectName, Policy
from exporter.catalog.terms import Identifier, Model, Text
from exporter.durations import Duration
from exporter.parser import SqlError, parse_sql
from exporter.yaml_source import rule_in_words

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
    """How likely it is to make things worse."""
    advice: Text
    """What to do; pages and reports say it."""
    impact: Text | None = None
    """What users notice once it is undone, for the notification."""
    next_steps: tuple[Text, ...] = ()
    """What follows a rollback, for the notification."""


class Phase(Model):
    """One phase of the deployment."""

    title: Text
    """What it brings, for people."""
    migrations: tuple[Migration, ...] = ()
    """Rows of the history: the phase is applied when all of them are there."""
    rollback: Rollback
    """What it means to undo it."""
    objects: tuple[DeployedObject, ...] = ()
    """What it leaves behind."""
    policies: tuple[Policy, ...] = ()
    """Policies that it leaves behind."""
    audit_events: tuple[Text, ...] = ()
    """Types of events that it writes to an audit log."""
    owns: tuple[Text, ...] = ()
    """Patterns (`*`, `?`) of tables and other objects: what breaks in them is blamed on it."""


class StatementClass(Model):
    """Statements that are judged together: those that name one of these objects."""

    relations: tuple[ObjectName, ...] = ()
    """Tables and views: schema.name, or a name alone for any schema."""
    functions: tuple[ObjectName, ...] = ()
    """Functions, in the same way."""
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
    """The statement that came with the deployment."""
    old: StatementSql
    """The statement whose mean call time is the expectation for `new`."""


class Suite(Model):
    """A suite of tests that runs elsewhere, and whose results are recorded."""

    title: Text
    """What it tests, for people."""
    planned: Annotated[int, Field(ge=1)]
    """The least number of tests that must pass."""
    notices: Annotated[str, AfterValidator(_notices)] | None = None
    """For a script that prints its results: the regular expression of a line that reports a test.
    It has the group `outcome` (pass, fail, skip) and perhaps `name`. Others write TAP or JUnit."""


def _refuse_first_week(_: Any) -> None:
    raise ValueError(
        "is called `plan` now: a list of steps, such as "
        "{after: 1d, title: ..., checks: {...}} for day 1"
    )


class Deployment(Model):
    """The deployment that is watched."""

    name: Annotated[
        str,
        StringConstraints(pattern=_NAME),
        rule_in_words(_NAME, "must be in lower case, digits and . _ -"),
    ]
    """Of the deployment, in the state and in commands."""
    title: Text
    """For people."""
    include: Literal["standard"] | None = None
    """`standard`: the shipped queries that every PostgreSQL answers belong to the pack."""
    history: History | None = None
    """Without it, a query of the pack feeds loom_migration_applied{version}."""
    warmup: Duration
    """Time after the last phase in which speed is not judged: caches fill, plans settle."""
    phases: dict[Identifier, Phase]
    """What can be rolled back by itself, in the order of deployment."""
    tables: tuple[ObjectName, ...] = ()
    """Without them, those of the exposed schemas; a name alone is of the first of these."""
    api_roles: tuple[Text, ...] = ()
    """Roles that come in through an API, under row-level security."""
    exposed_schemas: tuple[Text, ...] = ()
    """Schemas that an API can reach; `public` unless set."""
    statement_roles: tuple[Text, ...] = ()
    """Roles with series of their own; the statements of all others are `other` together."""
    classes: dict[Identifier, StatementClass] = Field(default_factory=dict)
    """Where two classes claim a statement, the first of them gets it."""
    replacements: tuple[Replacement, ...] = ()
    """Without these, a statement that came with the deployment has nothing to be compared with."""
    slow_statement: Duration = 0.1
    """A statement is slow if its calls take longer on average; 100ms unless set."""
    suites: dict[Identifier, Suite] = Field(default_factory=dict)
    """Suites of tests that run elsewhere and are recorded, by name."""
    ready: dict[Identifier, Criterion] = Field(default_factory=dict)
    """What must hold before the first migration."""
    criteria: dict[Identifier, Criterion] = Field(default_factory=dict)
    """What makes it a success, in the order of the report."""
    rolled_back: dict[Identifier, Criterion] = Field(default_factory=dict)
    """What must hold once a phase is rolled back; each names its phase."""
    plan: tuple[Step, ...] = ()
    """What is looked at after the deployment, and when."""
    first_week: Annotated[None, BeforeValidator(_refuse_first_week)] = Field(None, repr=False)
    """Must not be given: it is called `plan` now."""
    sign_offs: dict[Identifier, SignOffItem] = Field(default_factory=dict)
    """What people sign besides the criteria, by name."""
    tracked: tuple[Tracked, ...] = ()
    """The table of before and after."""

    def phase_of(self, class_name: str) -> str:
        """Return the phase of the first condition that judges a class; `all` if none names one."""
        for criterion in self.criteria.values():
            for condition in criterion.conditions:
                if condition.class_name == class_name:
                    return condition.phase or criterion.phase
        return ALL

    def owner_of(self, name: str) -> str | None:
        """Return the phase that owns an object, or the table behind ` on `; None if none does.

        A phase that lists the object owns it; else the longest pattern that matches decides.
        """
        table = name.rpartition(" on ")[2]
        for phase, each in self.phases.items():
            if name in {known.object for known in each.objects}:
                return phase
        matching = [
            (len(pattern), phase)
            for phase, each in self.phases.items()
            for pattern in each.owns
            if fnmatchcase(name, pattern) or fnmatchcase(table, pattern)
        ]
        return max(matching, key=lambda each: each[0])[1] if matching else None

    def all_criteria(self) -> list[tuple[str, Criterion]]:
        """Return the criteria of all stages, with their names."""
        return [*self.ready.items(), *self.criteria.items(), *self.rolled_back.items()]

    def checks(self) -> list[tuple[str, Check]]:
        """Return the checks of the plan, with their names."""
        return [each for step in self.plan for each in step.checks.items()]

    def conditions(self) -> Iterator[tuple[tuple[str | int, ...], Condition]]:
        """Yield every condition, and before it where it stands in deployment.yaml."""
        sections = {
            "criteria": self.criteria,
            "ready": self.ready,
            "rolled_back": self.rolled_back,
        }
        return conditions_with_places(sections, self.plan)

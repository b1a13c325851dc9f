"""A probe: a `.as.sql` file, asked as a role of the API, with what it is expected to find."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from exporter.catalog.deployment import Deployment
from exporter.catalog.header import CommonHeader, QueryMetric, Relation
from exporter.catalog.own_metrics import own_metrics
from exporter.catalog.query import check_name, parse_sql_file
from exporter.catalog.terms import Identifier, Model, Text
from exporter.durations import Duration
from exporter.yaml_source import YamlDocument

SUFFIX = ".as.sql"

PROBE_OK = "loom_probe_ok"
"""The metric that all probes feed: 1 as expected, 0 not; no sample where that is not known."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """How many rows a probe must find at least, or none (0), or (None) that it is denied."""

    rows: int | None

    def __str__(self) -> str:
        if self.rows is None:
            return "denied"
        if not self.rows:
            return "no row"
        return f"at least {self.rows} row{'s' if self.rows > 1 else ''}"

    @property
    def is_of_nothing(self) -> bool:
        """Whether it holds also where nothing is there, so that a control must find something."""
        return not self.rows


def _expectation(value: Any) -> Expectation:
    match value:
        case "denied":
            return Expectation(None)
        case {"rows": 0} if len(value) == 1 and value["rows"] is not False:
            return Expectation(0)
        case {"rows": {"at_least": int(least), **more}} if len(value) == 1 and not more:
            if type(least) is int and 1 <= least <= MOST_ROWS:
                return Expectation(least)
    raise ValueError(
        "must be `denied`, {rows: 0} or {rows: {at_least: N}} with N from 1 to " + str(MOST_ROWS)
    )


MOST_ROWS = 100
"""The rows of a control that the next probe is given; of any other probe they are only counted."""

_EXPECT_SCHEMA = {
    "oneOf": [
        {"const": "denied"},
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["rows"],
            "properties": {
                "rows": {
                    "oneOf": [
                        {"const": 0},
                        {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["at_least"],
                            "properties": {
                                "at_least": {"type": "integer", "minimum": 1, "maximum": MOST_ROWS}
                            },
                        },
                    ]
                }
            },
        },
    ]
}


class Impersonation(Model):
    """The role of the API, and the test user whose claims the request carries."""

    role: Text = Field(description="one of api_roles in deployment.yaml")
    subject: Identifier | None = Field(
        None, description="name of a test user in the settings; none for a request without a user"
    )


class ProbeHeader(CommonHeader):
    """The YAML in the first comment of a `.as.sql` file."""

    timeout: Annotated[Duration, Field(ge=0.001, le=10)] = Field(
        1.0, description="statement_timeout of each statement"
    )
    caller: Impersonation = Field(alias="as", description="who asks")
    expect: Annotated[
        Expectation, BeforeValidator(_expectation), WithJsonSchema(_EXPECT_SCHEMA)
    ] = Field(description="what must be found: `denied`, {rows: 0} or {rows: {at_least: 1}}")
    control: Identifier | None = Field(
        None,
        description="a probe that is asked first, and must find rows; its rows are "
        "current_setting('probe.control'), a JSON array",
    )
    insert_into: Relation | None = Field(
        None,
        description="the first row is one to be inserted here: whether it may be is found out "
        "by EXPLAIN and by the policies' WITH CHECK; nothing is written",
    )

    @model_validator(mode="after")
    def _proves_something(self) -> Self:
        if self.expect.is_of_nothing and not self.control:
            raise ValueError(
                f"to find {self.expect} proves nothing by itself; name a `control` that finds rows"
            )
        if self.insert_into and self.expect.rows not in (None, 1):
            raise ValueError("with `insert_into`, expect {rows: {at_least: 1}} or denied")
        return self


@dataclass(frozen=True, slots=True)
class Probe:
    """A validated probe; `text` is its SQL without the header and the final semicolon."""

    name: str
    path: Path
    document: YamlDocument
    header: ProbeHeader
    text: str

    @property
    def metrics(self) -> Mapping[str, QueryMetric]:
        """The metric that every probe feeds."""
        return {PROBE_OK: _probe_metric()}


def _probe_metric() -> QueryMetric:
    metric = own_metrics("probes")[PROBE_OK]
    kind: Literal["gauge"] = "gauge"
    return QueryMetric(type=kind, help=metric.help, labels=metric.labels, value="ok")


def parse_probe(path: Path, text: str) -> Probe:
    """Parse the content of a `.as.sql` file.

    Raises:
        YamlError: the file cannot be used; the message names file, line, key and remedy.
    """
    name = path.name.removesuffix(SUFFIX)
    check_name(path, name, "client_sees_shared.as.sql")
    header, document, body = parse_sql_file(path, text, ProbeHeader)
    return Probe(name, path, document, header, body)


def chain(probe: Probe, probes: Mapping[str, Probe]) -> list[Probe]:
    """Return a probe after its controls, in the order in which they are asked.

    Raises:
        KeyError: one names a control that is not among the probes.
        ValueError: the controls go in a circle.
    """
    found = [probe]
    while control := found[0].header.control:
        if any(each.name == control for each in found):
            raise ValueError(control)
        found.insert(0, probes[control])
    return found


def faults_of_probes(probes: Iterable[Probe], deployment: Deployment) -> Iterator[str]:
    """Yield a line for each role and control that a probe names and that does not fit."""
    by_name = {probe.name: probe for probe in probes}
    for probe in by_name.values():
        role, control = probe.header.caller.role, probe.header.control
        if role not in deployment.api_roles:
            known = ", ".join(deployment.api_roles) or "none"
            yield str(
                probe.document.error(
                    ("as", "role"), f"{role} is not among api_roles of deployment.yaml ({known})"
                )
            )
        if not control:
            continue
        problem = None
        try:
            chain(probe, by_name)
        except KeyError:
            problem = f"there is no probe {control}{SUFFIX} here, or its own control is missing"
        except ValueError:
            problem = "the controls go in a circle"
        if problem is None and by_name[control].header.expect.is_of_nothing:
            problem = f"{control} is expected to find nothing; name one that finds rows"
        if problem:
            yield str(probe.document.error(("control",), problem))

"""A question that an HTTP source answers: a `.http.yaml` file, as validated, frozen data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from exporter.catalog.header import BaseHeader, QueryMetric
from exporter.catalog.metric import Column
from exporter.catalog.query import check_columns, check_name, column_types
from exporter.catalog.terms import Identifier
from exporter.durations import Duration
from exporter.jmes import check_expression
from exporter.yaml_source import YamlDocument, YamlError, parse_document

SUFFIX = ".http.yaml"

Placeholder = Literal["now", "hour_ago", "day_ago", "deployment_start", "since_deployment"]
"""A name in braces that stands for a time: ISO 8601 in UTC, or for `since_deployment` a number of
seconds as PromQL writes it, such as 86400s."""

PLACEHOLDERS: tuple[Placeholder, ...] = get_args(Placeholder)

_IN_BRACES = re.compile(r"\{([a-z][a-z_]*)\}")
"""A selector of PromQL or LogQL never looks like this: it has an operator in its braces."""

_PATH_CHARACTERS = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*")


def _path(text: str) -> str:
    if not _PATH_CHARACTERS.fullmatch(text) or "//" in text or {".", ".."} & set(text.split("/")):
        raise ValueError(
            "must be a plain path below the address of the source, such as /v1/backups: it begins "
            "with one slash, and holds neither `..`, %, ? nor an address; use `parameters`"
        )
    return text


def _with_known_placeholders(text: str) -> str:
    for name in _IN_BRACES.findall(text):
        if name not in PLACEHOLDERS:
            raise ValueError(
                f"nothing is known to stand for {{{name}}}; known are "
                + ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
            )
    return text


Template = Annotated[
    str,
    StringConstraints(min_length=1, max_length=4000),
    AfterValidator(_with_known_placeholders),
]
JmesPath = Annotated[str, StringConstraints(min_length=1), AfterValidator(check_expression)]


class HttpHeader(BaseHeader):
    """The YAML of a question that an HTTP source answers."""

    timeout: Annotated[Duration, Field(ge=0.001, le=60)] = Field(
        10.0, description="longest time from the request to the last byte of the answer"
    )
    source: Identifier = Field(description="name of a source in the settings")
    path: Annotated[str, AfterValidator(_path)] | None = Field(
        None, description="for a source of kind json: path below its address"
    )
    parameters: dict[Annotated[str, StringConstraints(min_length=1)], Template] = Field(
        default_factory=dict, description="of the path; values may hold placeholders"
    )
    expression: Template | None = Field(
        None, description="for a source of kind prometheus or loki: PromQL or a LogQL metric query"
    )
    fail_if: JmesPath | None = Field(
        None, description="JMESPath on the answer; if it finds anything, the run has failed"
    )
    rows: JmesPath = Field(
        "@",
        description="JMESPath from the answer to objects whose keys are the columns; of an "
        "expression, the answer is its series with their labels and `value`",
    )
    denominator: Column | None = Field(
        None, description="column that must be above 0, or its row says nothing"
    )

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        if (self.path is None) == (self.expression is None):
            raise ValueError("give either `path` or `expression`")
        if self.expression and self.parameters:
            raise ValueError("`parameters` belong to a `path`")
        return self


@dataclass(frozen=True, slots=True)
class HttpQuery:
    """A validated question; `path` is that of its file, `document` its YAML as it stands there."""

    name: str
    path: Path
    document: YamlDocument
    header: HttpHeader

    @property
    def metrics(self) -> Mapping[str, QueryMetric]:
        """The metrics by name, in the order of the file."""
        return self.header.metrics

    @property
    def columns(self) -> dict[str, str]:
        """The columns that the metrics need, with their SQL types."""
        return column_types(self.metrics)

    @property
    def placeholders(self) -> set[str]:
        """The placeholders in what is asked."""
        header = self.header
        return set(
            _IN_BRACES.findall(" ".join([header.expression or "", *header.parameters.values()]))
        )

    @property
    def is_about_deployment(self) -> bool:
        """Whether it can be asked only once the deployment has begun."""
        return bool(self.placeholders & {"deployment_start", "since_deployment"})

    def filled(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return the parameters, or the expression by that name, with values for placeholders."""
        header = self.header
        templates = {"expression": header.expression} if header.expression else header.parameters
        return {
            key: _IN_BRACES.sub(lambda match: values[match[1]], text)
            for key, text in templates.items()
        }


def parse_http_query(path: Path, text: str) -> HttpQuery:
    """Parse the content of a `.http.yaml` file.

    Raises:
        YamlError: the file cannot be used; the message names file, line, key and remedy.
    """
    name = path.name.removesuffix(SUFFIX)
    check_name(path, name, "errors.http.yaml")
    document = parse_document(text, str(path))
    if not isinstance(document.data, dict):
        raise YamlError(
            str(path), 1, (), "must hold `key: value` pairs, beginning with description"
        )
    try:
        header = HttpHeader.model_validate(document.data)
    except ValidationError as invalid:
        raise document.errors(invalid) from None
    check_columns(document, header.metrics)
    return HttpQuery(name, path, document, header)

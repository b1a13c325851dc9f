"""One query: a `.sql` file with its header, as validated, frozen data."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from exporter.catalog.header import CommonHeader, Header, QueryMetric
from exporter.catalog.select import SelectError, single_select
from exporter.yaml_source import YamlDocument, YamlError, parse_document

T = TypeVar("T", bound=CommonHeader)

_FILE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")

_HEADER = re.compile(r"\s*/\*(?P<yaml>.*?)\*/(?P<sql>.*)", re.DOTALL)

_CUT_SCHEDULE = re.compile(r"^schedule:\s*[\"']?(?:[^\s\"']+\s+){0,4}\Z", re.MULTILINE)
"""A header that ends in the middle of a cron expression: its */ was taken for the comment's."""


@dataclass(frozen=True, slots=True)
class Query:
    """A validated query.

    `document` is the header as it stands in the file, for errors that are found later. `text` is
    the SQL of the file without its header and its final semicolon. `columns` are the columns that
    the metrics use, in a fixed order, each with the SQL type that it is cast to.
    """

    name: str
    path: Path
    document: YamlDocument
    header: Header
    text: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What deployment.yaml tells it: settings of the transaction, by name, as JSON."""

    def with_parameters(self, known: Mapping[str, str]) -> "Query":
        """Return the query with those of the `known` parameters that its text reads."""
        return replace(
            self, parameters={name: value for name, value in known.items() if name in self.text}
        )

    @property
    def metrics(self) -> Mapping[str, QueryMetric]:
        """The metrics by name, in the order of the file."""
        return self.header.metrics

    @property
    def columns(self) -> dict[str, str]:
        """The columns that the metrics need, with their SQL types.

        The server makes the conversion, so a column that does not fit is an error of the query and
        not a guess of ours.
        """
        return column_types(self.metrics)

    @property
    def select(self) -> str:
        """The text as a subquery whose columns have the right names and types.

        Besides the types this makes sure of a single SELECT: neither a second statement nor a
        data-modifying one can stand in a subquery.
        """
        columns = ", ".join(
            f'q."{name}"::{sql_type} AS "{name}"' for name, sql_type in self.columns.items()
        )
        return f"SELECT {columns} FROM (\n{self.text}\n) AS q"


def parse_query(path: Path, text: str, name: str | None = None) -> Query:
    """Parse the content of a `.sql` file; `name` is that of the query, if not the file's.

    Raises:
        YamlError: the file cannot be used; the message names file, line, key and remedy.
    """
    check_name(path, name or path.stem, "users.sql")
    header, document, body = parse_sql_file(path, text, Header)
    check_columns(document, header.metrics)
    return Query(name or path.stem, path, document, header, body)


def parse_sql_file(path: Path, text: str, kind: type[T]) -> tuple[T, YamlDocument, str]:
    """Return the header of a file, the header as it stands there, and its SELECT.

    Raises:
        YamlError: the file cannot be used; the message names file, line, key and remedy.
    """
    place = str(path)
    match = _HEADER.fullmatch(text)
    if not match:
        raise YamlError(place, 1, (), "must begin with a header: /* YAML */")
    header_line = text.count("\n", 0, match.start("yaml")) + 1
    if "/*" in match["yaml"]:
        line = header_line + match["yaml"][: match["yaml"].index("/*")].count("\n")
        raise YamlError(
            place, line, (), "a /* inside the header opens a second comment; rephrase it"
        )
    if _CUT_SCHEDULE.search(match["yaml"]):
        line = header_line + match["yaml"].count("\n")
        raise YamlError(place, line, ("schedule",), "*/ ends the comment; write */5 as 0-59/5")
    document = parse_document(match["yaml"], place, first_line=header_line)
    if not isinstance(document.data, dict):
        raise YamlError(
            place,
            header_line,
            (),
            "the header must hold `key: value` pairs, beginning with description",
        )
    try:
        header = kind.model_validate(document.data)
    except ValidationError as invalid:
        raise document.errors(invalid) from None
    try:
        body = single_select(match["sql"])
    except SelectError as error:
        line = text.count("\n", 0, match.start("sql") + error.position) + 1
        raise YamlError(place, line, (), str(error)) from None
    return header, document, body


def check_name(path: Path, name: str, example: str) -> None:
    """Check the name that a file gives to its query.

    Raises:
        YamlError: it cannot be the value of a label, or the name of a function.
    """
    if not _FILE_NAME.fullmatch(name):
        raise YamlError(
            str(path), None, (), f"name the file in lower case, digits and _, such as {example}"
        )


def column_types(metrics: Mapping[str, QueryMetric]) -> dict[str, str]:
    """Return the columns that metrics need with their SQL types, in a fixed order.

    A label or a token is text, a value is double precision.
    """
    columns: dict[str, str] = {}
    for metric in metrics.values():
        columns.update(dict.fromkeys(metric.labels, "text"))
        for column in _numbers(metric):
            columns.setdefault(column, "double precision")
        if metric.type == "change_timestamp" and metric.value:
            columns[metric.value] = "text"
    return columns


def check_columns(document: YamlDocument, metrics: Mapping[str, QueryMetric]) -> None:
    """Check that each column has one type.

    Raises:
        YamlError: a column is used as text and as a number.
    """
    columns = column_types(metrics)
    for name, metric in metrics.items():
        for column in (metric.value, metric.at):
            if column and (columns[column] == "text") != (
                metric.type == "change_timestamp" and column == metric.value
            ):
                raise document.error(
                    ("metrics", name), f"column `{column}` is used as text and as a number"
                )


def _numbers(metric: QueryMetric) -> Iterator[str]:
    if metric.type != "change_timestamp" and metric.value:
        yield metric.value
    if metric.at:
        yield metric.at

"""Partitions of tables that classes name, as the classification takes them."""

from __future__ import annotations

from exporter.catalog.deployment import StatementClass
from exporter.statements.classes import Classification, classify
from exporter.statements.partitions import names_of_tables, read_partitions
from exporter.statements.text import parse_statement

CLASSES = {
    "events": StatementClass(relations=("app.events",)),
    "archive": StatementClass(relations=("app.events_2020", "lists")),
}
ROWS = [
    ("app", "events_2020", "app", "events"),
    ("app", "events_2021", "app", "events"),
    ("cold", "January", "app", "events"),
    ("other", "events_1", "other", "events"),
]
PARTITIONS = read_partitions(ROWS, CLASSES.values())


def _class_of(text: str) -> Classification:
    return classify(parse_statement(text), CLASSES, PARTITIONS)


def test_tables_are_asked_for_by_their_names() -> None:
    assert names_of_tables(CLASSES.values()) == ["events", "events_2020", "lists"]


def test_statement_belongs_to_the_class_of_the_table() -> None:
    for text in (
        "select * from app.events_2021",
        "insert into events_2021 values ($1)",
        'select * from cold."January"',
        'with x as (delete from "January" returning *) select * from x',
    ):
        assert _class_of(text) == Classification("events", "parsed"), text


def test_partition_that_a_class_names_belongs_to_that_class_alone() -> None:
    assert _class_of("select * from app.events_2020") == Classification("archive", "parsed")


def test_namesake_in_another_schema_is_no_partition() -> None:
    for text in (
        'select * from app."January"',
        "select * from cold.january",
        "select * from other.events_1",
        "select * from app.events_1999",
    ):
        assert _class_of(text) == Classification("other", "parsed"), text

"""Partitions of the tables that classes name: a statement that names one belongs to the class."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from exporter.catalog.deployment import StatementClass
from exporter.catalog.relation_name import RelationName

# pg_inherits is read, because pg_partition_tree takes a lock on each partition.
PARTITIONS = """
WITH RECURSIVE tree (schema, name, oid) AS (
    SELECT n.nspname, c.relname, c.oid
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'p' AND c.relname = ANY (%(names)s)
    UNION ALL
    SELECT t.schema, t.name, i.inhrelid
    FROM tree AS t
    JOIN pg_catalog.pg_inherits AS i ON i.inhparent = t.oid
)
SELECT n.nspname::text, c.relname::text, t.schema::text, t.name::text
FROM tree AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.oid AND c.relispartition
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE (n.nspname, c.relname) <> (t.schema, t.name)
"""
"""Returns schema and name of each partition, and of the table that it is a part of."""


@dataclass(frozen=True, slots=True)
class Partitions:
    """Partitions by name, each with its schema and the tables that it is a part of."""

    tables: Mapping[str, Sequence[tuple[str, tuple[str, str]]]] = field(default_factory=dict)
    unlike: frozenset[str] = frozenset()
    """Names, in lower case, that do not contain the name of their table."""

    def tables_of(self, schema: str | None, name: str) -> Iterator[tuple[str, str]]:
        """Yield the tables of which a relation is a partition; `schema` may be unknown."""
        for of_partition, table in self.tables.get(name, ()):
            if schema in (None, of_partition):
                yield table


NO_PARTITIONS = Partitions()


def names_of_tables(classes: Iterable[StatementClass]) -> list[str]:
    """Return the names of relations in classes, without their schemas, for `PARTITIONS`."""
    return sorted({RelationName.parse(each).name for rules in classes for each in rules.relations})


def read_partitions(
    rows: Iterable[tuple[Any, ...]], classes: Iterable[StatementClass]
) -> Partitions:
    """Return the rows of `PARTITIONS`, without the partitions that a class names itself."""
    named = {RelationName.parse(each) for rules in classes for each in rules.relations}
    tables: dict[str, list[tuple[str, tuple[str, str]]]] = {}
    unlike: set[str] = set()
    for schema, name, *table in rows:
        if (schema, name) in named or (None, name) in named:
            continue
        tables.setdefault(name, []).append((schema, (table[0], table[1])))
        if table[1].casefold() not in name.casefold():
            unlike.add(name.casefold())
    return Partitions(tables, frozenset(unlike))

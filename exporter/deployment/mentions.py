"""What a pack names of its database, and where: relations, functions, roles and schemas."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from exporter.catalog import Catalog, Deployment
from exporter.catalog.relation_name import RelationName
from exporter.database.names import NameKind
from exporter.parser import SqlError
from exporter.statements.classes import names_of
from exporter.statements.text import parse_statement
from exporter.yaml_source import KeyPath, YamlDocument

Kind = NameKind | Literal["test user"]

_RELATIONS = ("table", "view", "materialized_view", "sequence", "foreign_table")
"""Kinds of deployed objects that are relations."""


class Mention(NamedTuple):
    """A name in a file of the pack.

    `is_required` is false where the file says itself that it may be missing.
    """

    document: YamlDocument
    path: KeyPath
    kind: Kind
    name: RelationName
    is_required: bool = True


class Brought(NamedTuple):
    """A relation or function that a phase brings."""

    phase: str
    kind: Kind
    name: RelationName


def mentions(catalog: Catalog) -> Iterator[Mention]:
    """Yield what deployment.yaml and the queries name, in the order of the files."""
    document, deployment = catalog.document, catalog.deployment
    if document is not None:
        for path, kind, name in _of_deployment(deployment):
            yield Mention(document, path, kind, name)
    for query in catalog.queries:
        for number, relation in enumerate(query.header.requires.relations):
            path = ("requires", "relations", number)
            yield Mention(query.document, path, "relation", RelationName.parse(relation), False)
    for probe in catalog.probes:
        role = RelationName(None, probe.header.caller.role)
        yield Mention(probe.document, ("as", "role"), "role", role)
        if probe.header.caller.subject:
            subject = RelationName(None, probe.header.caller.subject)
            yield Mention(probe.document, ("as", "subject"), "test user", subject)
        if probe.header.insert_into:
            target = RelationName.parse(probe.header.insert_into)
            yield Mention(probe.document, ("insert_into",), "relation", target)


def brought(deployment: Deployment) -> Iterator[Brought]:
    """Yield the relations and functions that phases bring."""
    for name, phase in deployment.phases.items():
        for each in phase.objects:
            if each.kind in _RELATIONS:
                yield Brought(name, "relation", RelationName.parse(each.object))
            elif each.kind == "function":
                function = each.object.partition("(")[0]
                yield Brought(name, "function", RelationName.parse(function))


def _of_deployment(deployment: Deployment) -> Iterator[tuple[KeyPath, Kind, RelationName]]:
    default = deployment.exposed_schemas[0] if deployment.exposed_schemas else "public"
    for number, table in enumerate(deployment.tables):
        schema, name = RelationName.parse(table)
        yield ("tables", number), "relation", RelationName(schema or default, name)
    lists: tuple[tuple[str, Kind, tuple[str, ...]], ...] = (
        ("api_roles", "role", deployment.api_roles),
        ("exposed_schemas", "schema", deployment.exposed_schemas),
        ("statement_roles", "role", deployment.statement_roles),
    )
    for key, kind, names in lists:
        for number, role_or_schema in enumerate(names):
            yield (key, number), kind, RelationName(None, role_or_schema)
    for phase, about in deployment.phases.items():
        for number, policy in enumerate(about.policies):
            schema, name = RelationName.parse(policy.table)
            path = ("phases", phase, "policies", number, "table")
            yield path, "relation", RelationName(schema or default, name)
    for class_name, rules in deployment.classes.items():
        place = ("classes", class_name)
        for number, each in enumerate(rules.relations):
            yield (*place, "relations", number), "relation", RelationName.parse(each)
        for number, each in enumerate(rules.functions):
            yield (*place, "functions", number), "function", RelationName.parse(each)
    for number, replacement in enumerate(deployment.replacements):
        for side, sql in (("old", replacement.old), ("new", replacement.new)):
            for kind, found in _of_statement(sql):
                yield ("replacements", number, side), kind, found


def _of_statement(sql: str) -> Iterator[tuple[Kind, RelationName]]:
    statement = parse_statement(sql)
    try:
        names = names_of(statement) if statement else None
    except SqlError:
        names = None
    if names:
        for relation in sorted(names.relations, key=str):
            yield "relation", RelationName(*relation)
        for function in sorted(names.functions, key=str):
            yield "function", RelationName(*function)

"""What deployment.yaml says, as settings of the transaction, so that one query serves every pack.

A query reads them as `nullif(current_setting('deployment.tables', true), '')::jsonb`. A setting
that a transaction has had is empty after it, and not NULL.
"""

import json
from collections.abc import Mapping
from typing import Any

from exporter.catalog.deployment import Deployment
from exporter.catalog.expected import OF_A_RELATION, DeployedObject
from exporter.catalog.relation_name import RelationName

DEFAULT_SCHEMA = "public"

PREFIX = "deployment."
"""Of the name of each setting."""


def parameters(deployment: Deployment) -> Mapping[str, str]:
    """Return the settings by name, each as JSON; lists that are empty are left out."""
    schemas = list(deployment.exposed_schemas) or [DEFAULT_SCHEMA]
    phases = deployment.phases.items()
    lists: dict[str, list[Any]] = {
        "migrations": [
            {"version": each.version, "name": each.name, "phase": phase, "place": place}
            for place, (phase, each) in enumerate(
                (phase, each) for phase, about in phases for each in about.migrations
            )
        ],
        "objects": [
            {"phase": phase, **_object(each, schemas)}
            for phase, about in phases
            for each in about.objects
        ],
        "policies": [
            {
                "phase": phase,
                **_relation(each.table, schemas[0]),
                "policy": each.policy,
                "command": each.command,
            }
            for phase, about in phases
            for each in about.policies
        ],
        "tables": [_relation(table, schemas[0]) for table in deployment.tables],
        "api_roles": list(deployment.api_roles),
        "statement_roles": list(deployment.statement_roles),
        "exposed_schemas": schemas,
        "audit_events": [
            {"phase": phase, "event_type": each}
            for phase, about in phases
            for each in about.audit_events
        ],
    }
    return {f"{PREFIX}{name}": json.dumps(rows) for name, rows in lists.items() if rows}


def _relation(text: str, default: str) -> dict[str, str]:
    """Return a relation; its label has the schema unless that is the first one exposed."""
    schema, name = RelationName.parse(text)
    label = name if schema in (None, default) else f"{schema}.{name}"
    return {"schema": schema or default, "name": name, "table": label}


def _object(each: DeployedObject, schemas: list[str]) -> dict[str, Any]:
    """Return an object as its label and the names under which the catalogs have it.

    `schemas` are those in which it may be, `parent` the relation that a trigger or column is of,
    `arguments` the types of a function's arguments, or None for any.
    """
    text, arguments, parent = each.object, None, None
    if each.kind == "function":
        text, has_arguments, rest = text.partition("(")
        arguments = rest.removesuffix(")") if has_arguments else None
    elif each.kind in OF_A_RELATION:
        own, _, text = text.rpartition(" on ")
    schema, name = RelationName.parse(text)
    if each.kind in OF_A_RELATION:
        name, parent = RelationName.parse(own).name, name
    return {
        "kind": each.kind,
        "object": each.object,
        "schemas": schemas if schema is None else [schema],
        "name": name,
        "parent": parent,
        "arguments": arguments,
    }

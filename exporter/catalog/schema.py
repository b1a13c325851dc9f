"""Prints a JSON Schema: `python -m exporter.catalog.schema {sql|http|as|deployment}`."""

import json
import sys
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from exporter.catalog.deployment import Deployment
from exporter.catalog.header import Header
from exporter.catalog.http_query import HttpHeader
from exporter.catalog.probe import ProbeHeader

MODELS: dict[str, tuple[type[BaseModel], str]] = {
    "sql": (Header, "Header of a loom-exporter query"),
    "http": (HttpHeader, "Header of a loom-exporter query"),
    "as": (ProbeHeader, "Header of a loom-exporter query"),
    "deployment": (Deployment, "deployment.yaml of loom-exporter"),
}
"""What is described, and the title, by kind: a query's header, or deployment.yaml."""


def schema_of(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of the header of a kind of query, or of deployment.yaml."""
    model, title = MODELS[kind]
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(mode="validation"),
        "title": title,
    }
    for part in _parts(schema):
        if "patternProperties" in part:  # names are as the pattern has them
            part["additionalProperties"] = False
        if part.get("type") == "string" and isinstance(part.get("default"), float):
            del part["default"]  # a number, which is not how durations and shares are written
    return schema


def schema_text(kind: str) -> str:
    """Return the schema as its file in `queries/` holds it."""
    return json.dumps(schema_of(kind), indent=2, sort_keys=kind != "deployment") + "\n"


def _parts(schema: object) -> Iterator[dict[str, Any]]:
    """Yield the schema and all that is in it."""
    if isinstance(schema, dict):
        yield schema
        for each in schema.values():
            yield from _parts(each)
    if isinstance(schema, list):
        for each in schema:
            yield from _parts(each)


if __name__ == "__main__":
    print(schema_text(sys.argv[1]), end="")

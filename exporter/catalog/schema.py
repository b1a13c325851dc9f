"""Prints the JSON Schema of a query's header: `python -m exporter.catalog.schema`."""

import json
from typing import Any

from exporter.catalog.header import Header


def header_schema() -> dict[str, Any]:
    """Return the JSON Schema of the YAML in the first comment of a query's file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Header of a loom-exporter query",
        **Header.model_json_schema(mode="validation"),
    }


def schema_text() -> str:
    """Return the schema as the file `queries/header.schema.json` holds it."""
    return json.dumps(header_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")

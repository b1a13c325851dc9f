"""Prints the JSON Schema of a header: `python -m exporter.catalog.schema {sql|http|as}`."""

import json
import sys
from typing import Any

from exporter.catalog.header import CommonHeader, Header
from exporter.catalog.http_query import HttpHeader
from exporter.catalog.probe import ProbeHeader

HEADERS: dict[str, type[CommonHeader]] = {
    "sql": Header,
    "http": HttpHeader,
    "as": ProbeHeader,
}
"""By kind of query."""


def header_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of the header of a kind of query."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Header of a loom-exporter query",
        **HEADERS[kind].model_json_schema(mode="validation"),
    }


def schema_text(kind: str) -> str:
    """Return the schema as its file in `queries/` holds it."""
    return json.dumps(header_schema(kind), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(schema_text(sys.argv[1]), end="")

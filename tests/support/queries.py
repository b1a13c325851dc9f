"""Folders and queries for tests, made from ones that are right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from exporter.catalog import Catalog, Deployment, HttpQuery, Probe, Query
from exporter.catalog.http_query import parse_http_query
from exporter.catalog.query import parse_query
from exporter.sources import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.catalog import AnyQuery

QUERY = """\
/*
description: Counts things by kind.
phase: one
interval: 1m
metrics:
  loom_things:
    type: gauge
    help: Things by kind.
    labels: [kind]
    value: things
*/
-- Why: because there are things.
SELECT 'round' AS kind, 1 AS things;
"""

DEPLOYMENT = """\
name: test-deployment
title: Test deployment
warmup: 30m
phases:
  one:
    title: The only phase
    migrations:
      - {version: "1", name: first}
    rollback: {risk: low, advice: Roll back.}
"""


def make_folder(path: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write a folder of queries; `files` are added to a deployment.yaml that is right."""
    path.mkdir(exist_ok=True)
    for name, content in {"deployment.yaml": DEPLOYMENT, **files}.items():
        (path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def query_text(
    metrics: Mapping[str, Mapping[str, Any]],
    *,
    sql: str = "SELECT 1 AS things",
    **header: Any,
) -> str:
    """Return a query's file; what is not given of a header or of a metric is right."""
    whole = {
        "description": "Counts things.",
        "phase": "all",
        **({} if "schedule" in header else {"interval": "1m"}),
        **header,
        "metrics": {
            name: {"type": "gauge", "help": "Things.", **metric} for name, metric in metrics.items()
        },
    }
    return f"/*\n{yaml.safe_dump(whole, sort_keys=False)}*/\n{sql}"


def make_query(
    name: str, metrics: Mapping[str, Mapping[str, Any]], *, sql: str = "SELECT 1", **header: Any
) -> Query:
    """Return a query as the catalog would read it; see `query_text`."""
    return parse_query(Path(f"{name}.sql"), query_text(metrics, sql=sql, **header))


HTTP_QUERY: Mapping[str, Any] = {
    "description": "Counts things.",
    "phase": "all",
    "interval": "1m",
    "source": "things",
    "path": "/things",
    "metrics": {
        "loom_things": {
            "type": "gauge",
            "help": "Things by kind.",
            "labels": ["kind"],
            "value": "things",
        }
    },
}
"""A question to an HTTP source that is right: the answer is a list of kinds and numbers."""


def http_query_text(**changed: Any) -> str:
    """Return a `.http.yaml` file; a key that is changed to None is left out."""
    whole = {key: value for key, value in {**HTTP_QUERY, **changed}.items() if value is not None}
    return yaml.safe_dump(whole, sort_keys=False)


def make_http_query(name: str = "things_asked", **changed: Any) -> HttpQuery:
    """Return a question as the catalog would read it; see `http_query_text`."""
    return parse_http_query(Path(f"{name}.http.yaml"), http_query_text(**changed))


def make_catalog(*queries: AnyQuery) -> Catalog:
    """Return a catalog of these queries and the deployment above."""
    return Catalog(
        Deployment.model_validate(yaml.safe_load(DEPLOYMENT)),
        tuple(query for query in queries if isinstance(query, Query)),
        tuple(query for query in queries if isinstance(query, HttpQuery)),
        tuple(query for query in queries if isinstance(query, Probe)),
    )


def rows(query: Query, *values: tuple[Any, ...], total: int | None = None) -> Rows:
    """Return a result of `query`; `total` is how many rows there were before the limit."""
    return Rows(tuple(query.columns), values, len(values) if total is None else total)

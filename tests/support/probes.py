"""Queries that are made up, to see what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.watching import one_query

if TYPE_CHECKING:
    from exporter.catalog import Query

USERS = "SELECT count(*) AS value FROM public.users"
LABELLED = "metrics: {probe: {type: gauge, help: A probe., labels: [kind], value: value}}"


def slow_query(name: str, seconds: float) -> Query:
    """Return a query that takes as long as that, and whose gauge has its name."""
    return one_query(
        f"SELECT length(pg_sleep({seconds})::text) AS value",
        f"timeout: 50s\nmetrics: {{{name}: {{type: gauge, help: A probe., value: value}}}}",
        name=name,
    )

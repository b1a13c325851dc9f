"""The shipped queries by their names, and what they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.run_state import State
from tests.support.watching import look, shipped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.catalog import Query
    from tests.support.loom_database import LoomDatabase

DEPLOYMENT = shipped().deployment
MATERIALIZED_VIEW = "user_mfa_status_unified"


def shipped_query(name: str) -> Query:
    """Return one of the shipped queries that the database answers."""
    return next(query for query in shipped().queries if query.name == name)


def series_of(loom: LoomDatabase, name: str) -> Mapping[str, Mapping[tuple[str, ...], float]]:
    """Run a shipped query as the monitoring role; return its samples by metric."""
    snapshot = look(loom, shipped_query(name))[name]
    assert snapshot.state is State.OK, snapshot.detail
    return snapshot.samples

"""That the demo's deployment is as fast, and its lost index as slow, as it is meant to show."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from exporter.demo.database import FILES
from exporter.demo.workload import WorkloadStatement
from exporter.statements.text import identity
from tests.support.marks import only_18
from tests.support.watching import deploy

if TYPE_CHECKING:
    from typing import Any

    import psycopg

    from tests.support.loom_database import LoomDatabase

pytestmark = [only_18, pytest.mark.timing]

ROUNDS = 5
CALLS = 60
"""In each round, by as many people."""

OLD = "mfa_status_check"
NEW = "mfa_status_function"


def test_new_check_takes_at_most_seventy_percent_of_the_old_ones_time(loom: LoomDatabase) -> None:
    deploy(loom, "healthy")
    ratios = [_mean(loom, NEW) / _mean(loom, OLD) for _ in range(ROUNDS)]
    assert 0.1 < statistics.median(ratios) < 0.7, ratios


def test_lost_index_makes_the_check_at_least_three_times_slower_than_the_old_one(
    loom: LoomDatabase,
) -> None:
    deploy(loom, "healthy")
    before = statistics.median(_mean(loom, OLD) for _ in range(ROUNDS))
    loom.run_file(FILES / "lose_index.sql")
    after = statistics.median(_mean(loom, NEW) for _ in range(ROUNDS))
    assert after > 3 * before


def _mean(loom: LoomDatabase, name: str) -> float:
    """Return the mean time of `CALLS` calls, as the server counts it; the first ones are left out.

    A new connection compiles functions and plans them anew for a few calls; the application's
    connections stay.
    """
    statement = WorkloadStatement.parse((FILES / "workload" / f"{name}.sql").read_text())
    with loom.connect() as counting, loom.connect("authenticator") as connection:
        users = counting.execute(
            "SELECT id FROM public.users ORDER BY id LIMIT %s", [CALLS]
        ).fetchall()
        for user, *_ in users[:10]:
            _call(connection, statement, user)
        counting.execute("SELECT extensions.pg_stat_statements_reset()")
        for user, *_ in users:
            _call(connection, statement, user)
        means = {
            identity(text): mean
            for text, mean in counting.execute(
                "SELECT query, mean_exec_time FROM extensions.pg_stat_statements WHERE toplevel"
            )
        }
    return float(means[identity(statement.text)])


def _call(connection: psycopg.Connection[Any], statement: WorkloadStatement, user: object) -> None:
    claims = json.dumps({"sub": str(user), "role": statement.role})
    with connection.transaction():
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(statement.role)))
        connection.execute("SELECT set_config('request.jwt.claims', %s, true)", [claims])
        connection.execute(statement.text.encode())

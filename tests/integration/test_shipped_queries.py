"""What the shipped queries say of a database that goes through its deployment.

They run as the monitoring role. Here is how they end. Their numbers are in a file for each topic,
each held against one that was made in another way: by asking the database as a superuser, by
trying what the number is about, or by knowing the seed.
"""

from __future__ import annotations

import itertools
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from exporter.run_state import State
from tests.support.journey import WITH_VIEW
from tests.support.loom_database import make_database, make_template
from tests.support.observers import HANG_SECONDS
from tests.support.shipped_queries import series_of
from tests.support.tools import require_postgres
from tests.support.watching import OWNER, deploy, install_grants, shipped

if TYPE_CHECKING:
    from tests.conftest import NewServer
    from tests.support.journey import Seen, Stage
    from tests.support.loom_database import LoomDatabase


def test_every_query_ends_as_the_stage_demands(seen: Seen, stage: Stage) -> None:
    without_view = {
        "mfa_discrepancies_view": State.ABSENT,
        "mfa_unified_users": State.ABSENT,
        "mfa_view_state": State.EMPTY,
    }
    expected = {query.name: State.OK for query in shipped().queries}
    expected["mfa_refresh_job"] = State.ABSENT
    if stage not in WITH_VIEW:
        expected |= without_view
    if stage == "before":
        expected["audit_synchronisation"] = State.EMPTY  # the migration writes the event
    assert seen.states == expected


def test_no_query_leaves_an_error_in_the_servers_log(seen: Seen) -> None:
    assert "ERROR" not in seen.log
    assert "WARNING" not in seen.log


@pytest.mark.parametrize("server", [15], indirect=True)
def test_every_query_runs_unchanged_in_psql(deployed: LoomDatabase) -> None:
    psql = require_postgres(15) / "psql"
    absent = {"mfa_refresh_job"}
    files = [query.path for query in shipped().queries if query.name not in absent]
    arguments = itertools.chain.from_iterable(("-f", str(path)) for path in files)
    run = subprocess.run(
        [psql, "-X", "-A", "-q", "-v", "ON_ERROR_STOP=1", deployed.dsn(OWNER), *arguments],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert (run.returncode, run.stderr) == (0, "")
    # One table for each, with its own header and its own footer.
    footers = [line for line in run.stdout.splitlines() if line.startswith("(")]
    assert len(footers) == len(files)


def test_queries_know_the_exact_times_where_the_server_keeps_them(new_server: NewServer) -> None:
    server = new_server(18, {"track_commit_timestamp": "on"})
    make_template(server)
    loom = make_database(server)
    install_grants(loom)
    deploy(loom, "healthy")
    with loom.connect() as connection:
        committed = connection.execute(
            "SELECT version, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8"
            " FROM supabase_migrations.schema_migrations WHERE version > '20251021'"
            " ORDER BY version"
        ).fetchall()
        exact = {(version,): at for version, at in committed}
        assert len(exact) == 3
        shown = series_of(loom, "migrations")["loom_migration_written_timestamp_seconds"]
        assert shown == pytest.approx(exact, abs=1e-5)
        assert len(set(shown.values())) == 3

        began = time.time()
        connection.execute("REFRESH MATERIALIZED VIEW public.user_mfa_status_unified")
        ended = time.time()
    time.sleep(0.1)  # so that the time of the look cannot be taken for that of the refresh
    refreshed = series_of(loom, "mfa_view_state")["loom_mfa_view_refreshed_timestamp_seconds"][()]
    assert began <= refreshed <= ended

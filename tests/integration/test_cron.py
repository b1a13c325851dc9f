"""The refresh job, as pg_cron really runs it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from exporter.run_state import State
from tests.support.observers import eventually
from tests.support.shipped_queries import shipped_query
from tests.support.watching import MONITOR, OWNER, deploy, install_grants, look

if TYPE_CHECKING:
    from exporter.collect.snapshot import Snapshot
    from tests.support.loom_database import LoomDatabase

LAST_SUCCESS = "loom_mfa_refresh_job_last_success_timestamp_seconds"
FAILURES = "loom_mfa_refresh_job_failures"

# Jobs with this schedule run when pg_cron starts: nobody has to wait for the full minute.
AT_START = "@reboot"


def _seen(loom: LoomDatabase) -> Snapshot:
    return look(loom, shipped_query("mfa_refresh_job"))["mfa_refresh_job"]


def _schedule(loom: LoomDatabase, name: str, command: str) -> None:
    with loom.connect(OWNER) as connection:
        connection.execute("SELECT cron.schedule(%s, %s, %s)", [name, AT_START, command])


def _run_jobs(loom: LoomDatabase, runs: int) -> None:
    """Restart the server, and wait until so many runs in all have ended."""
    loom.server.restart()

    def ended() -> int:
        with loom.connect() as connection:
            return connection.execute(
                "SELECT FROM cron.job_run_details WHERE status IN ('succeeded', 'failed')"
            ).rowcount

    eventually(f"{runs} runs have ended", lambda: ended() >= runs)


def test_refresh_job_is_seen_to_succeed_and_to_fail(cron_loom: LoomDatabase) -> None:
    loom = cron_loom
    deploy(loom, "healthy")
    install_grants(loom)

    # Other jobs are none of ours.
    _schedule(loom, "tidy", "SELECT 1")
    assert _seen(loom).state is State.EMPTY

    # A job that never ran has no last success, and nothing that failed.
    _schedule(
        loom, "refresh", "REFRESH MATERIALIZED VIEW CONCURRENTLY public.user_mfa_status_unified"
    )
    never = _seen(loom)
    assert never.state is State.OK
    assert dict(never.samples) == {FAILURES: {(): 0}}

    began = time.time()
    _run_jobs(loom, runs=2)
    succeeded = _seen(loom)
    assert succeeded.state is State.OK
    assert began <= succeeded.samples[LAST_SUCCESS][()] <= time.time()
    assert succeeded.samples[FAILURES] == {(): 0}

    # The view goes: the job goes on, and fails.
    with loom.connect(OWNER) as connection:
        connection.execute("DROP MATERIALIZED VIEW public.user_mfa_status_unified CASCADE")
    _run_jobs(loom, runs=4)
    failed = _seen(loom)
    assert failed.state is State.OK
    assert failed.samples[LAST_SUCCESS] == succeeded.samples[LAST_SUCCESS]
    assert failed.samples[FAILURES] == {(): 1}

    # A failure of more than a day ago is no news.
    with loom.connect() as connection:
        connection.execute(
            "UPDATE cron.job_run_details SET start_time = start_time - interval '25 hours',"
            " end_time = end_time - interval '25 hours'"
        )
    old = _seen(loom)
    assert old.samples[FAILURES] == {(): 0}
    assert old.samples[LAST_SUCCESS][()] < time.time() - 24 * 3600

    # All this without a right of its own to see anything of pg_cron.
    with loom.connect(MONITOR) as connection:
        assert connection.execute(
            "SELECT has_schema_privilege('cron', 'USAGE')"
            " AND has_table_privilege('cron.job', 'SELECT')"
        ).fetchall() == [(False,)]

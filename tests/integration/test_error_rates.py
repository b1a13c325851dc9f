"""Errors are judged by what the database counts, hour by hour, with an hour of three seconds."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import psycopg

from exporter.deployment.records import Outcome
from tests.support.marks import only_18
from tests.support.watching import MONITOR, deploy, watching

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.verdict.criteria import CriterionResult
    from tests.support.loom_database import LoomDatabase
    from tests.support.watching import Watch

HOUR_SECONDS = 3.0


def _use(loom: LoomDatabase, transactions: int, failing: int = 0) -> None:
    """Run transactions in one session, some of which fail; its end makes them count."""
    with loom.connect() as connection:
        for number in range(transactions):
            with contextlib.suppress(psycopg.errors.DivisionByZero):
                connection.execute("SELECT 1 / 0" if number < failing else "SELECT 1")


async def _error_rates(watch: Watch) -> CriterionResult:
    await watch.look()
    await watch.judge()
    assessment = watch.parts.verdict.assessment
    assert assessment
    return next(each for each in assessment.criteria if each.name == "error_rates")


async def _hours(watch: Watch, loom: LoomDatabase, hours: int, failing: int) -> CriterionResult:
    for _ in range(hours):
        _use(loom, 100, failing)
        found = await _error_rates(watch)
        await asyncio.sleep(HOUR_SECONDS)
    return found


@only_18
async def test_rollbacks_fail_by_themselves_and_as_many_as_before_do_not(
    watched: LoomDatabase, tmp_path: Path
) -> None:
    state = tmp_path / "state.sqlite3"
    async with watching(watched.dsn(MONITOR), state=state, hour=HOUR_SECONDS) as watch:
        assert (await _hours(watch, watched, 4, failing=5)).outcome is Outcome.INCONCLUSIVE
        deploy(watched, "healthy")
        healthy = await _hours(watch, watched, 4, failing=5)
        counted = {
            each.outcome for each in healthy.findings if each.is_needed and not each.is_signed
        }
        assert counted == {Outcome.PASS}, healthy.findings
        broken = await _hours(watch, watched, 4, failing=80)
    assert broken.outcome is Outcome.FAIL
    (failing,) = [each for each in broken.findings if each.outcome is Outcome.FAIL]
    assert "rollbacks in" in failing.evidence
    assert failing.selector == 'loom_database_transactions_total{outcome="rollback"}'

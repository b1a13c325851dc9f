"""A phase that is rolled back on a real database: seen or said, judged as that, and followed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from exporter.demo.database import migrations
from exporter.deployment.people import ROLLBACKS, ReportedRollback, append, word
from exporter.deployment.records import Outcome
from exporter.deployment.sign_offs import SIGN_OFFS, sign, signable
from exporter.render.report import notification
from exporter.render.text import summary, title
from exporter.verdict.assess import Stage, Verdict
from tests.support.marks import only_18
from tests.support.shipped_queries import DEPLOYMENT
from tests.support.watching import MONITOR, deploy, roll_back, watching

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.verdict.assess import Assessment
    from tests.support.loom_database import LoomDatabase
    from tests.support.watching import Watch

HOUR_SECONDS = 3.0
SETTLED_SECONDS = 8.0
"""More than a warm-up by this clock, and than the time within which a value is not trusted."""


async def _judge(watch: Watch) -> Assessment:
    await watch.look()
    await watch.judge()
    assessment = watch.parts.verdict.assessment
    assert assessment, watch.board["verdict"].detail
    return assessment


def _outcomes(assessment: Assessment) -> dict[str, Outcome]:
    return {each.name: each.outcome for each in assessment.rollback}


@only_18
async def test_rollback_is_seen_judged_as_that_and_a_second_rollout_is_followed(
    watched: LoomDatabase, tmp_path: Path
) -> None:
    state = tmp_path / "state.sqlite3"
    async with watching(watched.dsn(MONITOR), state=state, hour=HOUR_SECONDS) as watch:
        before = await _judge(watch)
        assert before.stage in (Stage.COLLECTING, Stage.NOT_READY)
        deploy(watched, "healthy")
        first = await _judge(watch)
        assert first.deployed.rolled_back == {}
        people = watch.parts.store.scope("loom", DEPLOYMENT.name)
        for name in signable(DEPLOYMENT):
            given = sign(DEPLOYMENT, name, by="Ada", at=time.time())
            assert append(SIGN_OFFS, people, given, name)

        roll_back(watched)
        await _judge(watch)
        await asyncio.sleep(SETTLED_SECONDS)
        undone = await _judge(watch)
        early = _outcomes(undone)["mfa_flows_tested"]
        assert early is Outcome.INCONCLUSIVE, "it was signed before the rollback"
        given = sign(DEPLOYMENT, "mfa_flows_tested", by="Ada", at=time.time())
        assert append(SIGN_OFFS, people, given, given.name)
        undone = await _judge(watch)
        assert undone.stage is Stage.ROLLED_BACK
        assert undone.verdict is Verdict.INCONCLUSIVE, summary(undone)
        assert undone.blamed == (), "nobody is told to roll it back again"
        outcomes = _outcomes(undone)
        for name in ("mfa_objects_gone", "mfa_flags_right", "mfa_flows_tested"):
            assert outcomes[name] is Outcome.PASS, name
        assert title(undone) == "ROLLED BACK"
        assert "Phase mfa was rolled back" in summary(undone)
        assert "deploy rolled-back mfa" in summary(undone)

        given_reason = word(
            ReportedRollback, "test", phase="mfa", by="Ada", reason="logins fail", at=time.time()
        )
        assert append(ROLLBACKS, people, given_reason, "mfa")
        told = notification(await _judge(watch))
        assert told.startswith("Subject: Database Rollback - One source of truth for MFA")
        for part in ("due to: logins fail (Ada", "Impact: The MFA state", "1. Find out why"):
            assert part in told

        # The way to apply it again: the history is repaired first.
        watched.run(
            "DELETE FROM supabase_migrations.schema_migrations WHERE version = '20251021000003'"
        )
        assert list((await _judge(watch)).deployed.rolled_back) == ["mfa"]
        watched.run_file(migrations("healthy")[-1])
        again = await _judge(watch)
        assert again.deployed.rolled_back == {}
        assert again.deployed.is_complete
        ended_at, first_ended_at = again.deployed.ended_at, first.deployed.ended_at
        assert ended_at is not None
        assert first_ended_at is not None
        assert ended_at > first_ended_at, "the plan begins again"
        backup = next(each for each in again.criteria if each.name == "backup_restorable")
        assert backup.outcome is Outcome.INCONCLUSIVE, "it was signed for the rollout before"


@only_18
async def test_rollback_that_leaves_the_flags_wrong_fails_and_what_stays_is_judged(
    watched: LoomDatabase, tmp_path: Path
) -> None:
    state = tmp_path / "state.sqlite3"
    async with watching(watched.dsn(MONITOR), state=state, hour=HOUR_SECONDS) as watch:
        await _judge(watch)
        deploy(watched, "healthy")
        await _judge(watch)
        roll_back(watched)
        watched.run(
            "UPDATE public.users SET mfa_enabled = NOT mfa_enabled"
            " WHERE email = 'coach5@loom.example'"
        )
        await _judge(watch)
        await asyncio.sleep(SETTLED_SECONDS)
        wrong = await _judge(watch)
        assert (wrong.stage, wrong.verdict) == (Stage.ROLLED_BACK, Verdict.NO_GO)
        assert _outcomes(wrong)["mfa_flags_right"] is Outcome.FAIL
        assert title(wrong) == "ROLLED BACK, NO-GO"
        watched.run("ALTER TABLE public.resource_collections DISABLE ROW LEVEL SECURITY")
        opened = await _judge(watch)
        assert [each.phase for each in opened.blamed] == ["rls"]


@only_18
async def test_phase_without_objects_is_rolled_back_by_a_persons_word(
    watched: LoomDatabase, tmp_path: Path
) -> None:
    state = tmp_path / "state.sqlite3"
    async with watching(watched.dsn(MONITOR), state=state, hour=HOUR_SECONDS) as watch:
        await _judge(watch)
        deploy(watched, "healthy")
        assert (await _judge(watch)).deployed.rolled_back == {}
        people = watch.parts.store.scope("loom", DEPLOYMENT.name)
        given = word(ReportedRollback, "test", phase="rls", by="Ada", reason="no", at=time.time())
        assert append(ROLLBACKS, people, given, "rls")
        undone = await _judge(watch)
        assert list(undone.deployed.rolled_back) == ["rls"]
        assert undone.stage is Stage.ROLLED_BACK

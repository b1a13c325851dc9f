"""Faults after a healthy deployment, one by one: each is named, and none leaves a go."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from exporter.catalog.condition import Condition
from exporter.catalog.criteria import Criterion
from exporter.catalog.deployment import OTHER, Deployment
from exporter.database.grants import function_schema
from exporter.database.identity import DatabaseIdentity
from exporter.deployment.people import ACKNOWLEDGEMENTS, Acknowledgement, append, in_order, word
from exporter.deployment.progress import DeploymentProgress, PhaseProgress
from exporter.deployment.records import Outcome
from exporter.deployment.sign_offs import sign, signable
from exporter.run_state import State
from exporter.verdict.assess import Assessment, Verdict, assess
from exporter.verdict.drift import judge_unchanged, keep_tokens, keep_tokens_before
from exporter.verdict.evidence import SETTLE_SECONDS, Before, Evidence
from tests.support.faults import BEFORE, FAULTS
from tests.support.judging import make_class, quiet_hours
from tests.support.marks import only_18
from tests.support.shipped_queries import DEPLOYMENT
from tests.support.watching import MONITOR, deploy, shipped, watching

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.collect.snapshot import Samples
    from exporter.state import Scope
    from exporter.verdict.evidence import KeptTokens
    from tests.support.loom_database import LoomDatabase
    from tests.support.watching import Watch

AS_FAST = make_class(1.0)
OURS = function_schema(DEPLOYMENT.name)
CHANGED = "loom_schema_changed_timestamp_seconds"
POLICIES_CHANGED = "loom_rls_policies_changed_timestamp_seconds"


async def _before(watch: Watch) -> Before:
    await watch.look()
    return _gauges(watch)


def _gauges(watch: Watch) -> Before:
    metrics = watch.catalog.metrics()
    gauges: Samples = {
        name: series for name, series in watch.series().items() if metrics[name].baseline
    }
    return Before(gauges, time.time() - 86400, time.time())


def _evidence(watch: Watch, before: Before, tokens: KeptTokens | None = None) -> Evidence:
    at = time.time() - SETTLE_SECONDS - 60
    deployed = DeploymentProgress(
        {phase: PhaseProgress(True, at) for phase in DEPLOYMENT.phases},
        has_begun=True,
        began_at=at,
        ended_at=at,
        settled_at=at,
    )
    signed = {
        name: [sign(DEPLOYMENT, name, by="Ada", at=time.time())] for name in signable(DEPLOYMENT)
    }
    return Evidence(
        time.time(),
        time.monotonic(),
        watch.board,
        deployed,
        before,
        dict.fromkeys((*DEPLOYMENT.classes, OTHER), AS_FAST),
        signed,
        owner_of=DEPLOYMENT.owner_of,
        counted=quiet_hours(at),
        kept=replace(watch.kept(), before=tokens or watch.kept()),
    )


def _judge(watch: Watch, evidence: Evidence) -> Assessment:
    now = replace(evidence, now=time.time(), ticks=time.monotonic(), snapshots=watch.board)
    return assess("loom", DEPLOYMENT, {}, now)


def _names(loom: LoomDatabase) -> dict[str, str]:
    """Return an index and a foreign key of the table of items."""
    with loom.connect() as connection:
        row = connection.execute(
            "SELECT (SELECT min(indexname) FROM pg_indexes WHERE indexdef NOT LIKE '%UNIQUE%'"
            "           AND tablename = 'resource_collection_items'),"
            "       (SELECT min(conname) FROM pg_constraint WHERE contype = 'f'"
            "           AND conrelid = 'public.resource_collection_items'::regclass)"
        ).fetchone()
    assert row
    return {"index": row[0], "key": row[1]}


async def test_every_fault_after_a_healthy_deployment_is_named_and_none_is_a_go(
    watched: LoomDatabase,
) -> None:
    names = _names(watched)
    _run(watched, BEFORE)
    async with watching(watched.dsn(MONITOR)) as watch:
        before = await _before(watch)
        deploy(watched, "healthy")
        await watch.look_in_peace()
        evidence = _evidence(watch, before)
        assert _judge(watch, evidence).verdict is Verdict.GO
        for name, fault in FAULTS.items():
            _run(watched, fault.does.format(**names))
            await watch.look_in_peace()
            assessment = _judge(watch, evidence)
            assert assessment.verdict is Verdict.NO_GO, name
            (criterion,) = [each for each in assessment.criteria if each.name == fault.criterion]
            failing = criterion.worst_first()[0]
            assert failing.outcome is Outcome.FAIL, name
            assert fault.told.format(**names) in failing.evidence, name
            assert failing.phases == ((fault.phase,) if fault.phase else ()), name
            if fault.undoes:
                _run(watched, fault.undoes)
                await watch.look_in_peace()
                undone = _judge(watch, evidence)
                assert fault.criterion not in _failed(undone), name
            else:  # the next fault is looked for beside this one
                kept = replace(watch.kept(), before=watch.kept())
                evidence = replace(evidence, before=_gauges(watch), kept=kept)


@only_18
async def test_what_a_deployment_leaves_open_is_named(watched: LoomDatabase) -> None:
    async with watching(watched.dsn(MONITOR)) as watch:
        before = await _before(watch)
        deploy(watched, "healthy")
        for does, undoes, criterion, told in (
            (
                "CREATE TABLE public.users_then AS SELECT * FROM public.users;"
                " GRANT SELECT ON public.users_then TO anon",
                "DROP TABLE public.users_then",
                "regression_tests",
                "table anon: 1 relations",
            ),
            (
                "ALTER TABLE public.sessions DISABLE ROW LEVEL SECURITY",
                "ALTER TABLE public.sessions ENABLE ROW LEVEL SECURITY",
                "regression_tests",
                "table authenticated: 1 relations",
            ),
            (
                "ALTER ROLE authenticated BYPASSRLS",
                "ALTER ROLE authenticated NOBYPASSRLS",
                "regression_tests",
                "table authenticated: 13 relations",
            ),
            (
                "ALTER FUNCTION private.file_ids_shared_with_caller() RESET search_path",
                "ALTER FUNCTION private.file_ids_shared_with_caller() SET search_path = ''",
                "regression_tests",
                "1 functions without a search_path",
            ),
            (
                "ALTER FUNCTION public.is_admin() SECURITY INVOKER",
                "ALTER FUNCTION public.is_admin() SECURITY DEFINER",
                "regression_tests",
                "SECURITY DEFINER function is_admin() was 1 before and is gone",
            ),
            (
                "CREATE POLICY open ON public.file_shares FOR SELECT USING (true)",
                "DROP POLICY open ON public.file_shares",
                "rls_tests",
                "file_shares: 1 policies that let every row through",
            ),
        ):
            _run(watched, does)
            await watch.look()
            _run(watched, undoes)
            assessment = _judge(watch, _evidence(watch, before))
            assert _failed(assessment) == {criterion}, does
            (failed,) = [each for each in assessment.criteria if each.outcome is Outcome.FAIL]
            assert told in failed.worst_first()[0].evidence


CHANGES_BESIDES = {
    "policy": (
        'ALTER POLICY "Users can view their own profile" ON public.users USING (true)',
        "policy Users can view their own profile on users was changed",
        ("mfa",),
    ),
    "grant": (
        "REVOKE ALL ON public.file_shares FROM authenticated",
        "relation file_shares was changed",
        ("rls",),
    ),
    "not null": (
        "ALTER TABLE public.sessions ALTER client_id DROP NOT NULL",
        "column client_id on sessions was changed",
        (),
    ),
    "trigger": (
        "DROP TRIGGER on_auth_user_created ON auth.users",
        "trigger on_auth_user_created on auth.users was dropped",
        (),
    ),
    "index": (
        "DROP INDEX public.idx_user_mfa_methods_user_status;"
        " CREATE INDEX idx_user_mfa_methods_user_status ON public.user_mfa_methods (method_name)",
        "index idx_user_mfa_methods_user_status on user_mfa_methods was changed",
        ("mfa",),
    ),
    "foreign key": (
        "ALTER TABLE public.sessions DROP CONSTRAINT sessions_client_id_fkey;"
        " ALTER TABLE public.sessions ADD CONSTRAINT sessions_client_id_fkey"
        " FOREIGN KEY (client_id) REFERENCES public.users NOT VALID",
        "constraint sessions_client_id_fkey on sessions was changed",
        (),
    ),
}


@only_18
@pytest.mark.parametrize("name", CHANGES_BESIDES)
async def test_what_a_deployment_changes_besides_is_named(watched: LoomDatabase, name: str) -> None:
    does, told, phases = CHANGES_BESIDES[name]
    async with watching(watched.dsn(MONITOR)) as watch:
        before = await _before(watch)
        tokens = watch.kept()
        deploy(watched, "healthy")
        _run(watched, does)
        await watch.look()
        evidence = _evidence(watch, before, tokens)
        assessment = _judge(watch, evidence)
        assert "planned_changes" in _failed(assessment)
        (criterion,) = [each for each in assessment.criteria if each.name == "planned_changes"]
        (failing,) = [each for each in criterion.findings if each.outcome is Outcome.FAIL]
        assert failing.evidence.startswith(f"{told}; with the deployment, between ")
        assert failing.phases == phases
        kept = replace(watch.kept(), before=tokens, accepted="accepted by Ada: meant")
        accepted = _judge(watch, replace(evidence, kept=kept))
        assert "planned_changes" not in _failed(accepted)


@only_18
async def test_schema_before_is_that_of_a_time_at_which_nothing_had_begun(
    watched: LoomDatabase, tmp_path: Path
) -> None:
    async with watching(watched.dsn(MONITOR), state=tmp_path / "state.sqlite3") as watch:
        scope = watch.parts.store.scope("loom", DEPLOYMENT.name)
        scope = scope.of(DatabaseIdentity("1", 2, "loom"))
        progress = _evidence(watch, Before({}, 0.0, 0.0)).deployed
        progress = replace(progress, phases={}, ended_at=None)

        def kept_before() -> KeptTokens | None:
            kept = keep_tokens(scope, DEPLOYMENT, progress, None, watch.board)
            assert kept
            return kept.before

        await watch.look("schema_objects")
        first = watch.kept().tokens[CHANGED]
        assert kept_before() is None, "nobody had looked before"
        waiting = keep_tokens_before(scope, DEPLOYMENT, None, time.time(), watch.board)
        assert waiting
        assert waiting.tokens[CHANGED] == first
        _run(watched, "CREATE TABLE public.migrated (id int)")
        await watch.look("schema_objects")
        still = keep_tokens_before(scope, DEPLOYMENT, waiting, waiting.at, watch.board)
        assert still == waiting, "a migration may have been applied before it was read"
        assert kept_before() is None
        later = waiting.at + SETTLE_SECONDS
        keep_tokens_before(scope, DEPLOYMENT, waiting, later, watch.board)
        before = kept_before()
        assert before
        assert before.tokens[CHANGED] == first


async def test_what_changes_by_itself_is_no_drift(watched: LoomDatabase) -> None:
    by_itself = (
        "CREATE TABLE public.log_2025_11 PARTITION OF public.log FOR VALUES FROM (1) TO (2)",
        "CREATE TEMPORARY TABLE notes (id int)",
        "ANALYZE",
        "REINDEX TABLE public.users",
        "REFRESH MATERIALIZED VIEW public.user_mfa_status_unified",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY public.user_mfa_status_unified",
        f"CREATE FUNCTION {OURS}.another() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        f"GRANT USAGE ON SCHEMA private TO {MONITOR}",
    )
    async with watching(watched.dsn(MONITOR)) as watch:
        before = await _before(watch)
        deploy(watched, "healthy")
        _run(
            watched,
            "CREATE TABLE public.log (id int PRIMARY KEY, note text) PARTITION BY RANGE (id)",
        )
        await watch.look("schema_objects")
        evidence = _evidence(watch, before)
        for statement in by_itself:
            _run(watched, statement)
            await watch.look("schema_objects")
            assert "no_drift" not in _failed(_judge(watch, evidence)), statement


async def test_objects_that_match_a_pattern_are_left_out(watched: LoomDatabase) -> None:
    async with watching(watched.dsn(MONITOR)) as watch:
        await watch.look("schema_objects")
        evidence = _evidence(watch, Before({}, 0.0, 0.0))
        _run(watched, "CREATE TABLE public.events_2025_11 (id int PRIMARY KEY)")
        await watch.look("schema_objects")
        now = replace(evidence, ticks=time.monotonic())
        condition = Condition(metric=CHANGED, unchanged_since="deployment")
        assert judge_unchanged(condition, 0.0, now).outcome is Outcome.FAIL
        ignored = ("events_2025*", "* on events_2025*")
        condition = condition.model_copy(update={"ignore": ignored})
        assert judge_unchanged(condition, 0.0, now).outcome is Outcome.PASS


@only_18
async def test_schema_is_kept_once_and_kept_again_only_when_somebody_accepts_a_change(
    watched: LoomDatabase, tmp_path: Path
) -> None:
    state = tmp_path / "state.sqlite3"
    async with watching(watched.dsn(MONITOR), state=state) as watch:
        people = watch.parts.store.scope("loom", DEPLOYMENT.name)
        scope = people.of(DatabaseIdentity("1", 2, "loom"))
        progress = _evidence(watch, Before({}, 0.0, 0.0)).deployed

        def latest(people: Scope) -> Acknowledgement:
            return in_order(ACKNOWLEDGEMENTS, people)[-1]

        def keep(accepted: Acknowledgement | None) -> KeptTokens | None:
            return keep_tokens(scope, DEPLOYMENT, progress, accepted, watch.board)

        assert keep(None) is None, "nobody has looked yet"
        await watch.look("schema_objects")
        kept = keep(None)
        assert kept
        _run(watched, "CREATE TABLE public.by_hand (id int)")
        await watch.look("schema_objects")
        assert keep(None) == kept
        await watch.look("rls_policies_changed")
        both = _comparing(POLICIES_CHANGED)
        assert keep_tokens(scope, both, progress, None, watch.board) == kept, "no table by hand"
        evidence = replace(_evidence(watch, Before({}, 0.0, 0.0)), kept=kept)
        condition = Condition(metric=POLICIES_CHANGED, unchanged_since="deployment")
        unknown = judge_unchanged(condition, 0.0, evidence)
        assert unknown.outcome is Outcome.INCONCLUSIVE
        assert "deploy acknowledge" in unknown.text
        given = word(Acknowledgement, "test", by="Ada", reason="a new table", at=time.time() - 60)
        assert append(ACKNOWLEDGEMENTS, people, given)
        assert keep(latest(people)) == kept, "it was given before the schema was kept"
        given = word(Acknowledgement, "test", by="Grace", reason="a new table", at=time.time())
        assert append(ACKNOWLEDGEMENTS, people, given)
        assert keep(latest(people)) is None, "nobody has looked since"
        watch.board.publish("schema_objects", State.OK, {}, watch.board["schema_objects"].tokens)
        later = replace(
            watch.board["schema_objects"], last_success_at=time.time() + SETTLE_SECONDS + 1
        )
        watch.board._replace(later)
        again = keep(latest(people))
        assert again
        assert again.tokens != kept.tokens
        assert again.accepted == "accepted by Grace: a new table"
        assert len(ACKNOWLEDGEMENTS.load(people)) == 2, "a later word hides no earlier one"


async def test_question_takes_no_lock_above_access_share_on_catalogs(watched: LoomDatabase) -> None:
    (query,) = [each for each in shipped().queries if each.name == "schema_objects"]
    with watched.connect(MONITOR) as connection, connection.transaction():
        connection.execute(query.select.encode())
        locks = connection.execute(
            "SELECT DISTINCT mode, c.relnamespace = 'pg_catalog'::regnamespace"
            "  FROM pg_locks AS l LEFT JOIN pg_class AS c ON c.oid = l.relation"
            " WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid'"
        ).fetchall()
    assert locks == [("AccessShareLock", True)]


def _comparing(metric: str) -> Deployment:
    """Return the deployment of Loom with a criterion that compares another metric too."""
    condition = Condition(metric=metric, unchanged_since="deployment")
    added = Criterion(title="Policies unchanged", conditions=(condition,))
    return DEPLOYMENT.model_copy(update={"criteria": {**DEPLOYMENT.criteria, "added": added}})


def _run(loom: LoomDatabase, sql: str) -> None:
    with loom.connect() as connection:
        connection.execute(sql.encode())


def _failed(assessment: Assessment) -> set[str]:
    return {each.name for each in assessment.criteria if each.outcome is Outcome.FAIL}

"""Faults after a healthy deployment, one by one: each is named, and none leaves a go."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from exporter.catalog.criteria import Condition
from exporter.catalog.deployment import OTHER
from exporter.database.identity import DatabaseIdentity
from exporter.database.outcome import State
from exporter.deployment.acknowledgements import ACKNOWLEDGEMENTS, acknowledgement, append, latest
from exporter.deployment.progress import DeploymentProgress, PhaseProgress
from exporter.deployment.records import Outcome
from exporter.deployment.sign_offs import sign, signable
from exporter.verdict.assess import Assessment, Verdict, assess
from exporter.verdict.drift import judge_unchanged, keep_tokens
from exporter.verdict.evidence import SETTLE_SECONDS, Before, Evidence
from tests.support.judging import make_class, quiet_hours
from tests.support.marks import only_18
from tests.support.shipped_queries import DEPLOYMENT
from tests.support.watching import MONITOR, deploy, shipped, watching

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.collect.snapshot import Samples
    from exporter.deployment.acknowledgements import Acknowledgement
    from exporter.verdict.evidence import KeptTokens
    from tests.support.loom_database import LoomDatabase
    from tests.support.watching import Watch

AS_FAST = make_class(1.0)
CHANGED = "loom_schema_changed_timestamp_seconds"


@dataclass(frozen=True)
class Fault:
    """What somebody does, how it is undone, and what has to be named."""

    does: str
    undoes: str
    criterion: str
    told: str
    phase: str


FAULTS = {
    "insert is revoked": Fault(
        "REVOKE INSERT ON public.resource_collections, public.resource_collection_items"
        " FROM authenticated",
        "GRANT INSERT ON public.resource_collections, public.resource_collection_items"
        " TO authenticated",
        "no_drift",
        "relation resource_collection_items was changed; relation resource_collections was changed",
        "rls",
    ),
    "select is revoked": Fault(
        "REVOKE SELECT ON public.resource_client_progress FROM authenticated",
        "GRANT SELECT ON public.resource_client_progress TO authenticated",
        "no_drift",
        "relation resource_client_progress was changed",
        "rls",
    ),
    "policy is opened": Fault(
        'ALTER POLICY "Clients can view shared collection items"'
        " ON public.resource_collection_items USING (true)",
        "",
        "no_drift",
        "policy Clients can view shared collection items on resource_collection_items was changed",
        "rls",
    ),
    "policy compares the wrong column": Fault(
        'ALTER POLICY "Clients can view their own progress"'
        " ON public.resource_client_progress USING (id = auth.uid())",
        "",
        "no_drift",
        "policy Clients can view their own progress on resource_client_progress was changed",
        "rls",
    ),
    "rows are deleted": Fault(
        "DELETE FROM public.resource_client_progress",
        "",
        "data_kept",
        "0 records of progress (expected at least",
        "rls",
    ),
    "index is lost": Fault(
        "DROP INDEX public.{index}",
        "",
        "schema_kept",
        "index {index} on resource_collection_items was 1 before and is gone",
        "rls",
    ),
    "foreign key is lost": Fault(
        "ALTER TABLE public.resource_collection_items DROP CONSTRAINT {key}",
        "",
        "schema_kept",
        "constraint {key} on resource_collection_items was 1 before and is gone",
        "rls",
    ),
    "foreign keys are switched off": Fault(
        "ALTER TABLE public.resource_collection_items DISABLE TRIGGER ALL",
        "ALTER TABLE public.resource_collection_items ENABLE TRIGGER ALL",
        "no_drift",
        "relation resource_collection_items was changed",
        "rls",
    ),
    "default is changed": Fault(
        "ALTER TABLE public.users ALTER mfa_enabled SET DEFAULT true",
        "",
        "no_drift",
        "column mfa_enabled on users was changed",
        "mfa",
    ),
    "not null is dropped": Fault(
        "ALTER TABLE public.resource_collections ALTER name DROP NOT NULL",
        "",
        "no_drift",
        "column name on resource_collections was changed",
        "rls",
    ),
    "column is added": Fault(
        "ALTER TABLE public.resource_collections ADD COLUMN by_hand text",
        "",
        "no_drift",
        "column by_hand on resource_collections was added",
        "rls",
    ),
    "function is replaced": Fault(
        "CREATE OR REPLACE FUNCTION public.get_user_mfa_status(p_user_id uuid) RETURNS jsonb"
        " LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public"
        " AS $$ SELECT '{{}}'::jsonb $$",
        "",
        "no_drift",
        "function get_user_mfa_status(uuid) was changed",
        "mfa",
    ),
    "execute is revoked": Fault(
        "REVOKE EXECUTE ON FUNCTION public.refresh_user_mfa_status_unified() FROM service_role",
        "GRANT EXECUTE ON FUNCTION public.refresh_user_mfa_status_unified() TO service_role",
        "no_drift",
        "function refresh_user_mfa_status_unified() was changed",
        "mfa",
    ),
    "row-level security is switched off": Fault(
        "ALTER TABLE public.resource_collections DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE public.resource_collections ENABLE ROW LEVEL SECURITY",
        "rls_tests",
        "resource_collections: 0 tables with row-level security",
        "rls",
    ),
    "schema is closed": Fault(
        "REVOKE USAGE ON SCHEMA public FROM anon",
        "GRANT USAGE ON SCHEMA public TO anon",
        "no_drift",
        "schema public was changed",
        "",
    ),
    "role gets a timeout": Fault(
        "ALTER ROLE authenticated SET lock_timeout = '1s'",
        "ALTER ROLE authenticated RESET lock_timeout",
        "no_drift",
        "role authenticated was changed",
        "",
    ),
    "trigger is dropped": Fault(
        "DROP TRIGGER trg_sync_mfa_enabled_on_method_change ON public.user_mfa_methods",
        "",
        "no_drift",
        "trigger trg_sync_mfa_enabled_on_method_change on user_mfa_methods was dropped",
        "mfa",
    ),
    "enum grows": Fault(
        "ALTER TYPE public.user_role ADD VALUE 'guest'",
        "",
        "no_drift",
        "enum user_role was changed",
        "",
    ),
}


async def _before(watch: Watch) -> Before:
    await watch.look()
    return _gauges(watch)


def _gauges(watch: Watch) -> Before:
    metrics = watch.catalog.metrics()
    gauges: Samples = {
        name: series for name, series in watch.series().items() if metrics[name].baseline
    }
    return Before(gauges, time.time() - 86400, time.time())


def _evidence(watch: Watch, before: Before) -> Evidence:
    at = time.time() - SETTLE_SECONDS - 60
    deployed = DeploymentProgress(
        {phase: PhaseProgress(True, at) for phase in DEPLOYMENT.phases},
        has_begun=True,
        began_at=at,
        ended_at=at,
        settled_at=at,
    )
    signed = {
        name: sign(DEPLOYMENT, name, by="Ada", at=time.time()) for name in signable(DEPLOYMENT)
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
        kept=watch.kept(),
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
    async with watching(watched.dsn(MONITOR)) as watch:
        before = await _before(watch)
        deploy(watched, "healthy")
        await watch.look()
        evidence = _evidence(watch, before)
        assert _judge(watch, evidence).verdict is Verdict.GO
        for name, fault in FAULTS.items():
            _run(watched, fault.does.format(**names))
            await watch.look()
            assessment = _judge(watch, evidence)
            assert assessment.verdict is Verdict.NO_GO, name
            (criterion,) = [each for each in assessment.criteria if each.name == fault.criterion]
            failing = criterion.worst_first()[0]
            assert failing.outcome is Outcome.FAIL, name
            assert fault.told.format(**names) in failing.evidence, name
            assert failing.phases == ((fault.phase,) if fault.phase else ()), name
            if fault.undoes:
                _run(watched, fault.undoes)
                await watch.look()
                undone = _judge(watch, evidence)
                assert fault.criterion not in _failed(undone), name
            else:  # the next fault is looked for beside this one
                evidence = replace(evidence, before=_gauges(watch), kept=watch.kept())


async def test_what_changes_by_itself_is_no_drift(watched: LoomDatabase) -> None:
    by_itself = (
        "CREATE TABLE public.log_2025_11 PARTITION OF public.log FOR VALUES FROM (1) TO (2)",
        "CREATE TEMPORARY TABLE notes (id int)",
        "ANALYZE",
        "REINDEX TABLE public.users",
        "REFRESH MATERIALIZED VIEW public.user_mfa_status_unified",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY public.user_mfa_status_unified",
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

        def keep(accepted: Acknowledgement | None) -> KeptTokens | None:
            return keep_tokens(scope, DEPLOYMENT, progress, accepted, watch.board)

        assert keep(None) is None, "nobody has looked yet"
        await watch.look("schema_objects")
        kept = keep(None)
        assert kept
        _run(watched, "CREATE TABLE public.by_hand (id int)")
        await watch.look("schema_objects")
        assert keep(None) == kept
        given = acknowledgement(by="Ada", reason="a new table", at=time.time() - 60)
        assert append(people, given)
        assert keep(latest(people)) == kept, "it was given before the schema was kept"
        given = acknowledgement(by="Grace", reason="a new table", at=time.time())
        assert append(people, given)
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


def _run(loom: LoomDatabase, sql: str) -> None:
    with loom.connect() as connection:
        connection.execute(sql.encode())


def _failed(assessment: Assessment) -> set[str]:
    return {each.name for each in assessment.criteria if each.outcome is Outcome.FAIL}

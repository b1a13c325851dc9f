"""Judges the deployment: how far it has come, what it is compared with, and what the verdict is."""

import asyncio
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Self

from exporter.baseline.artefact import Baseline
from exporter.catalog import Catalog, Metric
from exporter.catalog.own_metrics import own_metrics
from exporter.clock import Clock
from exporter.collect.snapshot import Samples
from exporter.collect.source import Job, RunResult
from exporter.collect.store import SnapshotStore
from exporter.database.facts import FactsReader, ServerFacts
from exporter.deployment.history import MigrationHistory, applied_migrations, read_mark
from exporter.deployment.people import ACKNOWLEDGEMENTS, MARKS, NOTES, ROLLBACKS, in_order
from exporter.deployment.progress import DeploymentProgress
from exporter.deployment.records import append_records, load_records
from exporter.deployment.rollbacks import Traces, follow_rollbacks, record_presence
from exporter.deployment.sign_offs import SignOffs, load_sign_offs
from exporter.deployment.suite_results import load_suites
from exporter.learning import metrics as baseline_metrics
from exporter.learning.counted import CountedHours
from exporter.learning.hours import UnreadableError
from exporter.learning.lifecycle import BaselineLifecycle
from exporter.run_state import RunError, State
from exporter.state import DamagedError, Scope
from exporter.verdict import metrics as verdict_metrics
from exporter.verdict.assess import Assessment, assess
from exporter.verdict.drift import keep_tokens, keep_tokens_before
from exporter.verdict.evidence import Before, Evidence, KeptTokens
from exporter.verdict.plan import new_records
from exporter.verdict.trend import Trend

VERDICT_NAME = "verdict"
VERDICT_INTERVAL_SECONDS = 15.0

_LEAST_INTERVAL_SECONDS = 1.0


class VerdictJob:
    """Judges the deployment again and again, by what is known without asking for more."""

    def __init__(
        self,
        facts: FactsReader,
        people: Scope,
        catalog: Catalog,
        lifecycle: BaselineLifecycle,
        clock: Clock,
    ) -> None:
        """Begin without an assessment.

        Args:
            facts: says which database is judged.
            people: the scope of what people say of the deployment.
            catalog: with the deployment.
            lifecycle: of the baseline; learns from here how far the deployment has come.
            clock: with the length of an hour.
        """
        self._facts = facts
        self._people = people
        self._catalog = catalog
        self._lifecycle = lifecycle
        self._clock = clock
        self._history = MigrationHistory(people, catalog.deployment, clock)
        self._counted = CountedHours(catalog, clock)
        self._pending: KeptTokens | None = None
        """Of the schema before the deployment, as long as it is not sure that they are."""
        self.assessment: Assessment | None = None
        """The latest; None before the first."""
        self.trend = Trend(catalog.deployment.tracked, clock)

    @property
    def name(self) -> str:
        """The name of the job, as that of a query."""
        return VERDICT_NAME

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics of its samples, by name."""
        return {
            **own_metrics("deployment", "tracked", "verdict", "pack"),
            **baseline_metrics.metrics(self._catalog),
        }

    def go_on_from(self, before: Self) -> None:
        """Go on with the trend of a job that has ended, if both track the same numbers."""
        if self._catalog.deployment.tracked == before._catalog.deployment.tracked:
            self.trend = before.trend

    def deployment_start(self) -> float | None:
        """Return the Unix time at which the deployment began; None if it has not, or is unknown."""
        return self.assessment.deployed.began_at if self.assessment else None

    def job(self, snapshots: SnapshotStore, longest_interval: float | None) -> Job:
        """Return the judging as a job; the operator's `max_interval` may make it more frequent."""
        interval = max(
            min(VERDICT_INTERVAL_SECONDS, longest_interval or math.inf), _LEAST_INTERVAL_SECONDS
        )
        return Job(VERDICT_NAME, self.metrics, interval, partial(self.ask, snapshots))

    async def ask(self, snapshots: SnapshotStore) -> RunResult:
        """Judge by what the queries said last.

        Raises:
            RunError: it is not known yet which database this is, or what people have said.
        """
        try:
            assessment = await self.assess(snapshots)
        except DamagedError as error:  # what people said is not known, so neither is the verdict
            raise RunError(State.ERROR, str(error)) from None
        return RunResult(State.OK, await self._people.store.run(self._samples, assessment))

    async def assess(self, snapshots: SnapshotStore) -> Assessment:
        """Return everything that is said of the deployment by what the queries said last.

        Raises:
            RunError: it is not known yet which database this is.
            DamagedError: it is not known what people have said.
        """
        run = self._people.store.run
        # Read after the queries, so that their answers are of this database, or of the one before.
        facts = await self._facts.read(max_age_seconds=0.0)
        progress, draft = await run(self._follow, facts, snapshots)
        if draft:
            with suppress(UnreadableError):  # the hours are worth waiting for
                baseline = await asyncio.to_thread(draft)
                await run(self._lifecycle.freeze, facts, baseline)
        return await run(self._judge, facts, progress, snapshots)

    # Below, on the worker of the state.

    def _follow(
        self, facts: ServerFacts, snapshots: SnapshotStore
    ) -> tuple[DeploymentProgress, Callable[[], Baseline] | None]:
        """Find out how far the deployment has come, and let the lifecycle of the baseline know."""
        migrations = applied_migrations(snapshots, self._clock)
        if migrations.read_at <= self._facts.changed_at:  # of another database
            migrations = replace(migrations, written=None)
        seen = self._history.record(facts.identity, migrations)
        scope = self._people.of(facts.identity)
        traces = Traces(
            in_order(ROLLBACKS, self._people),
            record_presence(scope, snapshots, self._clock.monotonic()),
            self._history.returned,
            read_mark(self._people),
        )
        deployment = self._catalog.deployment
        if seen.has_begun is False:
            self._pending = keep_tokens_before(
                scope, deployment, self._pending, migrations.read_at, snapshots
            )
        warmup_seconds = self._clock.scaled(deployment.warmup)
        seen = follow_rollbacks(seen, deployment, traces, warmup_seconds)
        return seen, self._lifecycle.on_progress(facts, seen, snapshots, migrations.read_at)

    def _judge(
        self, facts: ServerFacts, seen: DeploymentProgress, snapshots: SnapshotStore
    ) -> Assessment:
        deployment = self._catalog.deployment
        accepted = in_order(ACKNOWLEDGEMENTS, self._people)
        scope = self._people.of(facts.identity)
        self._counted.record(scope, snapshots, facts.postmaster_start, seen.settled_at)
        marks = in_order(MARKS, self._people)
        evidence = Evidence(
            self._clock.now(),
            self._clock.monotonic(),
            snapshots,
            seen,
            _before(self._lifecycle.status.baseline, self._catalog),
            self._lifecycle.results(),
            sign_offs=self._sign_offs(seen),
            suites=load_suites(self._people, deployment),
            notes=tuple(in_order(NOTES, self._people)),
            deployed_by=marks[-1].by if marks else "",
            matched=self._lifecycle.matched(),
            owner_of=deployment.owner_of,
            counted=self._counted.hours,
            clock=self._clock,
            collected_seconds=self._lifecycle.status.collected_seconds,
            kept=keep_tokens(
                scope, deployment, seen, accepted[-1] if accepted else None, snapshots
            ),
            not_begun=not_begun(self._catalog),
        )
        self.trend.record(evidence)
        records = load_records(self._people)
        assessment = assess(self._people.database, deployment, records, evidence, self._clock)
        if new := new_records(assessment.plan, records):
            append_records(self._people, new)
        self.assessment = assessment
        return assessment

    def _sign_offs(self, seen: DeploymentProgress) -> dict[str, SignOffs]:
        """Return what people have said; of a rollout that was rolled back, nothing counts."""
        since = seen.follows_rollback_at or 0.0
        return {
            name: [word for word in given if word.at >= since]
            for name, given in load_sign_offs(self._people).items()
        }

    def _samples(self, assessment: Assessment) -> Samples:
        return {
            **assessment.deployed.samples(assessment.at),
            **self._lifecycle.samples(),
            **verdict_metrics.verdict_samples(assessment),
            **verdict_metrics.pack_samples(self._catalog.deployment),
        }


def not_begun(catalog: Catalog) -> str:
    """Return what is said while no phase is applied: what would show one, or that nothing can."""
    history = catalog.deployment.history
    if catalog.unseen:
        return "nothing can show that the deployment has begun; run `loom-exporter check`"
    if history and history.kind == "none":
        return "the deployment has not begun; say so when it has: `loom-exporter deploy mark`"
    if history and history.kind == "probe":
        return "the deployment has not begun: the objects of no phase are there"
    return "the deployment has not begun: none of its migrations is in the history"


def _before(baseline: Baseline | None, catalog: Catalog) -> Before | None:
    if baseline is None:
        return None
    start, end = baseline.window.start, baseline.window.end
    gauges = baseline_metrics.gauges_before(baseline, catalog)
    return Before(gauges, start.timestamp(), end.timestamp())

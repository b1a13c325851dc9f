"""Watches the deployment: how far it has come, what it is held against, and what the verdict is."""

import asyncio
import math
import time
from collections.abc import Mapping
from functools import partial
from typing import Self

from exporter.baseline.artefact import Baseline
from exporter.catalog import Catalog, Metric
from exporter.catalog.own_metrics import own_metrics
from exporter.collect.source import Job, RunResult
from exporter.collect.store import SnapshotStore
from exporter.database.database import Database
from exporter.database.facts import ServerFacts, read_facts
from exporter.database.identity import identity_of
from exporter.database.outcome import RunError, State
from exporter.deployment.history import MigrationHistory
from exporter.deployment.sign_offs import load_sign_offs
from exporter.deployment.suite_results import load_suites
from exporter.learning import metrics as baseline_metrics
from exporter.learning.lifecycle import BaselineLifecycle
from exporter.state import StateStore
from exporter.verdict import metrics as verdict_metrics
from exporter.verdict.assess import Assessment, assess
from exporter.verdict.evidence import Before, Evidence
from exporter.verdict.first_week import load_records, new_records, save_records
from exporter.verdict.trend import History

VERDICT_NAME = "verdict"
VERDICT_INTERVAL_SECONDS = 15.0

_LEAST_INTERVAL_SECONDS = 1.0
_FACTS_SECONDS = 60.0


class VerdictJob:
    """Judges the deployment again and again, on what is known without asking for more."""

    def __init__(
        self,
        database: Database,
        store: StateStore,
        catalog: Catalog,
        keeper: BaselineLifecycle,
        hour_seconds: float,
    ) -> None:
        """Prepare; `hour_seconds` is shorter than 3600 in a rehearsal."""
        self._database = database
        self._store = store
        self._catalog = catalog
        self._keeper = keeper
        self._hour_seconds = hour_seconds
        self._tracker = MigrationHistory(store, database.name, catalog.deployment, hour_seconds)
        self._facts: ServerFacts | None = None
        self._facts_until = float("-inf")
        self.assessment: Assessment | None = None
        """The latest; None before the first."""
        self.history = History(catalog.deployment.tracked, hour_seconds)

    @property
    def name(self) -> str:
        """The name of the job, as that of a query."""
        return VERDICT_NAME

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics of its samples, by name."""
        return {
            **own_metrics("deployment", "verdict"),
            **baseline_metrics.metrics(self._catalog),
        }

    def go_on_from(self, before: Self) -> None:
        """Go on with the history of one that judges no more, if both track the same numbers."""
        if self._catalog.deployment.tracked == before._catalog.deployment.tracked:
            self.history = before.history

    def deployment_start(self) -> float | None:
        """Return the Unix time at which the deployment began; None if it has not, or is unknown."""
        return self.assessment.deployed.began_at if self.assessment else None

    def job(self, board: SnapshotStore, longest_interval: float | None) -> Job:
        """Return the judging of what a board shows; `max_interval` may make it more frequent."""
        interval = max(
            min(VERDICT_INTERVAL_SECONDS, longest_interval or math.inf), _LEAST_INTERVAL_SECONDS
        )
        return Job(VERDICT_NAME, self.metrics, interval, partial(self.ask, board))

    async def ask(self, board: SnapshotStore) -> RunResult:
        """Judge what a board shows.

        Raises:
            RunError: it is not known yet which database this is.
        """
        assessment = await self.assess(board)
        # In a thread: the keeper may be busy with a poll.
        of_baseline = await asyncio.to_thread(self._keeper.samples)
        samples = {
            **assessment.deployed.samples(assessment.at),
            **of_baseline,
            **verdict_metrics.verdict_samples(assessment),
        }
        return RunResult(State.OK, samples)

    async def assess(self, board: SnapshotStore) -> Assessment:
        """Return what is to be said of the deployment by what a board shows.

        Raises:
            RunError: it is not known yet which database this is.
        """
        facts = await self.read_facts()
        return await asyncio.to_thread(self._assess, facts, board)

    async def read_facts(self) -> ServerFacts:
        """Return which database this is, as it was found out a minute ago at most.

        Raises:
            RunError: it has never been found out, and the question ended in this state.
        """
        facts = self._facts
        if facts and time.monotonic() < self._facts_until:
            return facts
        try:
            facts = await read_facts(self._database)
        except RunError:
            if facts is None:
                raise
            return facts  # a database that is away is still that one
        self._facts, self._facts_until = facts, time.monotonic() + _FACTS_SECONDS
        return facts

    def _assess(self, facts: ServerFacts, board: SnapshotStore) -> Assessment:
        now, ticks = time.time(), time.monotonic()
        name, deployment = self._database.name, self._catalog.deployment
        seen = self._tracker.look(identity_of(facts), board)
        self._keeper.on_progress(facts, seen, board)
        evidence = Evidence(
            now,
            ticks,
            board,
            seen,
            _before(self._keeper.baseline, self._catalog),
            self._keeper.changes(),
            load_sign_offs(self._store, name, deployment),
            load_suites(self._store, name, deployment),
        )
        self.history.take(evidence)
        records = load_records(self._store, name, deployment)
        assessment = assess(name, deployment, records, evidence, self._hour_seconds)
        if new := new_records(assessment.week, records):
            save_records(self._store, name, deployment, new)
        self.assessment = assessment
        return assessment


def _before(baseline: Baseline | None, catalog: Catalog) -> Before | None:
    if baseline is None:
        return None
    start, end = baseline.window.start, baseline.window.end
    gauges = baseline_metrics.gauges_before(baseline, catalog)
    return Before(gauges, start.timestamp(), end.timestamp())

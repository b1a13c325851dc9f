"""Watches the deployment: how far it has come, what it is held against, and what the verdict is."""

import asyncio
import math
import time
from collections.abc import Mapping
from functools import partial
from typing import Self

from exporter.baseline import deployed
from exporter.baseline import samples as baseline_samples
from exporter.baseline.document import Baseline
from exporter.baseline.keeper import Keeper
from exporter.baseline.tracker import Tracker
from exporter.catalog import Catalog, Metric
from exporter.collect.board import Board
from exporter.collect.feed import Answer, Job
from exporter.database.database import Database
from exporter.database.facts import ServerFacts, read_facts
from exporter.database.outcome import RunError, State
from exporter.state import StateStore
from exporter.statements.memory import owner_of
from exporter.verdict import samples as verdict_samples
from exporter.verdict.assess import Assessment, assess
from exporter.verdict.evidence import Before, Evidence
from exporter.verdict.first_week import load_records, new_records, save_records
from exporter.verdict.history import History
from exporter.verdict.sign_offs import load_sign_offs

NAME = "verdict"
INTERVAL_SECONDS = 15.0

_LEAST_INTERVAL_SECONDS = 1.0
_FACTS_SECONDS = 60.0


class Judge:
    """Judges the deployment again and again, on what is known without asking for more."""

    def __init__(
        self,
        database: Database,
        store: StateStore,
        catalog: Catalog,
        keeper: Keeper,
        hour_seconds: float,
    ) -> None:
        """Prepare; `hour_seconds` is shorter than 3600 in a rehearsal."""
        self._database = database
        self._store = store
        self._catalog = catalog
        self._keeper = keeper
        self._hour_seconds = hour_seconds
        self._tracker = Tracker(store, database.name, catalog.deployment, hour_seconds)
        self._facts: ServerFacts | None = None
        self._facts_until = float("-inf")
        self.assessment: Assessment | None = None
        """The latest; None before the first."""
        self.history = History(catalog.deployment.tracked, hour_seconds)

    @property
    def name(self) -> str:
        """The name of the job, as that of a query."""
        return NAME

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics of its samples, by name."""
        own = {**deployed.METRICS, **verdict_samples.METRICS}
        return {**own, **baseline_samples.metrics(self._catalog)}

    def go_on_from(self, before: Self) -> None:
        """Go on with the history of one that judges no more, if both track the same numbers."""
        if self._catalog.deployment.tracked == before._catalog.deployment.tracked:
            self.history = before.history

    def job(self, board: Board, longest_interval: float | None) -> Job:
        """Return the judging of what a board shows; `max_interval` may make it more frequent."""
        interval = max(min(INTERVAL_SECONDS, longest_interval or math.inf), _LEAST_INTERVAL_SECONDS)
        return Job(NAME, self.metrics, interval, partial(self.ask, board))

    async def ask(self, board: Board) -> Answer:
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
            **verdict_samples.make_samples(assessment),
        }
        return Answer(State.OK, samples)

    async def assess(self, board: Board) -> Assessment:
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

    def _assess(self, facts: ServerFacts, board: Board) -> Assessment:
        now, ticks = time.time(), time.monotonic()
        name, deployment = self._database.name, self._catalog.deployment
        seen = self._tracker.look(owner_of(facts), board)
        self._keeper.attend(facts, seen, board)
        evidence = Evidence(
            now,
            ticks,
            board,
            seen,
            _before(self._keeper.baseline, self._catalog),
            self._keeper.changes(),
            load_sign_offs(self._store, name, deployment),
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
    gauges = baseline_samples.gauges_before(baseline, catalog)
    return Before(gauges, start.timestamp(), end.timestamp())

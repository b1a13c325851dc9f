"""A baseline on demand: of some minutes from now on, or of all since the last reset."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.baseline.artefact import Baseline
from exporter.baseline.fit import provenance_of
from exporter.catalog import Catalog, Metric
from exporter.collect.runner import Runner
from exporter.collect.snapshot import NO_SAMPLES, Samples
from exporter.collect.store import SnapshotStore
from exporter.collect.telemetry import Telemetry
from exporter.database.database import Database
from exporter.database.facts import ServerFacts, read_facts
from exporter.database.identity import DatabaseIdentity, identity_of
from exporter.deployment.history import APPLIED, MigrationHistory
from exporter.errors import ExporterError
from exporter.learning.build import build
from exporter.learning.gauges import gauges_of, take
from exporter.learning.hours import LearnedHour, shown_texts
from exporter.learning.lifecycle import class_rules_digest
from exporter.settings import Settings
from exporter.sources.http import HttpSources
from exporter.state import StateStore
from exporter.statements.poller import POLL_INTERVAL_SECONDS, Poller
from exporter.statements.window import PollWindow

SHORTEST_SECONDS = 60.0
"""In less than this, hardly any statement is called often enough."""

_BUCKETS = 20
_LEAST_INTERVAL_SECONDS = 2.0
_NOTHING_SEEN = (
    "no statement was called in a time that counts; watch for longer, while the application is used"
)


class CaptureError(ExporterError):
    """No baseline can be made now; `str()` is one line that says why."""


@dataclass(slots=True)
class _Collector:
    """Follows the polls, and sorts what was called into buckets."""

    bucket_seconds: float | None
    """How long each is; None for one that holds everything since the last reset."""
    buckets: dict[float, LearnedHour] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    ended_at: float = 0.0

    def on_poll(self, owner: DatabaseIdentity, window: PollWindow | None) -> Samples:
        """Take a window in."""
        del owner  # one capture is of one database
        if window:
            self.ended_at = window.ended_at.timestamp()
            self.texts.update(shown_texts(window.counted))
            self._bucket(window).add(window)
        return NO_SAMPLES

    def _bucket(self, window: PollWindow) -> LearnedHour:
        if self.bucket_seconds:
            at = window.started_at.timestamp()
            start = at - at % self.bucket_seconds
        elif self.buckets:
            (start,) = self.buckets
        else:
            start = (window.stats_reset or window.started_at).timestamp()
        return self.buckets.setdefault(start, LearnedHour(start))


async def capture(
    settings: Settings,
    catalog: Catalog,
    database: Database,
    *,
    seconds: float | None,
    tell: Callable[[str], None],
) -> Baseline:
    """Return a baseline of the calls of the next `seconds`, or of all since the last reset.

    Args:
        settings: whether texts may be kept.
        catalog: with the deployment that it is for, and the gauges that are remembered.
        database: that is open.
        seconds: how long to watch; None for what pg_stat_statements has now.
        tell: is told how it goes, in a few words.

    Raises:
        CaptureError: the deployment has begun, or it is not to be known whether it has; or there
            was nothing to be seen.
        RunError: with the state in which a look at the database ended.
    """
    facts = await read_facts(database)
    with tempfile.TemporaryDirectory(prefix="loom-exporter-") as folder:
        store = StateStore(Path(folder) / "state.sqlite3")
        try:
            stage = _Stage(settings, catalog, database, store, facts)
            await stage.look()
            if seconds is None:
                collector = await stage.count_all(tell)
            else:
                collector = await stage.watch(seconds, tell)
            await stage.look()
            baseline = await asyncio.to_thread(stage.build, collector)
            if not baseline.statements:
                raise CaptureError(f"baseline: {_NOTHING_SEEN}")
            return baseline
        finally:
            tell("")
            store.close()


class _Stage:
    """What one capture works with."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        database: Database,
        store: StateStore,
        facts: ServerFacts,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._database = database
        self._store = store
        self._facts = facts
        wanted = [
            query
            for query in catalog.all_queries
            if APPLIED in query.metrics or any(each.baseline for each in query.metrics.values())
        ]
        # The history last: what was asked before it is from before.
        self._queries = sorted(wanted, key=lambda query: APPLIED in query.metrics)
        names = [query.name for query in self._queries]
        self._board = SnapshotStore(self._queries, dict.fromkeys(names, 3600.0))
        telemetry = Telemetry(database.name, self._queries)
        intervals = dict.fromkeys(names, 0.0)
        http = HttpSources(settings.sources)
        self._runner = Runner(database, self._board, store, telemetry, intervals, http)
        self._tracker = MigrationHistory(store, database.name, catalog.deployment, settings.hour)

    async def look(self) -> None:
        """Run the queries whose gauges are remembered, and make sure that all is as before."""
        for query in self._queries:
            await self._runner.run(query)
        seen = self._tracker.look(identity_of(self._facts), self._board)
        if seen.has_begun is None:
            raise CaptureError(
                "baseline: it is not known whether the deployment has begun; "
                "see `loom-exporter check --database`"
            )
        if seen.has_begun:
            raise CaptureError(
                "baseline: the deployment has begun; a baseline is of the time before it"
            )

    async def count_all(self, tell: Callable[[str], None]) -> _Collector:
        """Count all that was called since the last reset."""
        collector = _Collector(None)
        poller = self._poller(collector, from_zero=True)
        tell("reading all statements")
        await poller.ask()
        await _catch_up(poller, tell)
        return collector

    async def watch(self, seconds: float, tell: Callable[[str], None]) -> _Collector:
        """Poll for so many seconds."""
        bucket_seconds = max(seconds / _BUCKETS, 2 * _LEAST_INTERVAL_SECONDS)
        collector = _Collector(bucket_seconds)
        poller = self._poller(collector, from_zero=False)
        interval = min(bucket_seconds / 2, POLL_INTERVAL_SECONDS)
        started = time.monotonic()
        ends = started + seconds
        while True:
            await poller.ask()
            now = time.monotonic()
            tell(f"{min(now - started, seconds):.0f} of {seconds:.0f} s")
            if now >= ends:
                break
            await asyncio.sleep(min(interval, ends - now))
        await _catch_up(poller, tell)
        return collector

    def build(self, collector: _Collector) -> Baseline:
        """Make the baseline of what was collected."""
        buckets = [collector.buckets[start] for start in sorted(collector.buckets)]
        whole_seconds = collector.ended_at - buckets[0].start if buckets else 1.0
        taken = (take(self._board[query.name], query) for query in self._queries)
        return build(
            lambda: buckets,
            self._catalog.deployment,
            bucket_seconds=collector.bucket_seconds or whole_seconds,
            hour_seconds=self._settings.hour,
            identity=provenance_of(self._facts, class_rules_digest(self._catalog.deployment)),
            source="captured" if collector.bucket_seconds else "since_reset",
            texts=collector.texts,
            gauges=gauges_of(each for each in taken if each),
        )

    def _poller(self, collector: _Collector, *, from_zero: bool) -> Poller:
        return Poller(
            self._database,
            self._store,
            self._catalog.deployment,
            show_texts=self._settings.statement_text,
            follower=collector,
            from_zero=from_zero,
            pause_seconds=0.0,  # once, and somebody waits for it
        )


async def _catch_up(poller: Poller, tell: Callable[[str], None]) -> None:
    """Poll until every call is known by its statement."""
    while poller.is_behind:
        tell("reading more texts of statements")
        await poller.ask()

"""Makes a baseline on demand: of some minutes from now on, or of all calls since the last reset."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.baseline.artefact import Baseline
from exporter.baseline.fit import provenance_of
from exporter.catalog import Catalog, Metric
from exporter.catalog.standard import APPLIED
from exporter.clock import Clock
from exporter.collect.runner import Runner
from exporter.collect.snapshot import NO_SAMPLES, Samples
from exporter.collect.store import SnapshotStore
from exporter.collect.telemetry import Telemetry
from exporter.database.database import Database
from exporter.database.facts import FactsReader, ServerFacts
from exporter.database.identity import DatabaseIdentity
from exporter.deployment.history import MigrationHistory, applied_migrations
from exporter.errors import ExporterError
from exporter.learning.build import build
from exporter.learning.document import class_rules_digest
from exporter.learning.gauges import gauges_of, taken_from
from exporter.learning.hours import LearnedHour, shown_texts
from exporter.settings import Settings
from exporter.sources.http import HttpSources
from exporter.state import StateStore
from exporter.statements.poller import POLL_INTERVAL_SECONDS, Poller
from exporter.statements.tally import PollWindow

SHORTEST_SECONDS = 60.0
"""In less time than this, hardly any statement is called often enough."""

_BUCKETS = 20
_LEAST_INTERVAL_SECONDS = 2.0
_NOTHING_SEEN = (
    "no statement was called in a time that counts; watch for longer, while the application is used"
)


class CaptureError(ExporterError):
    """No baseline can be made now; `str()` is one line that says why."""


@dataclass(slots=True)
class _Collector:
    """Follows the polls, and adds the calls to buckets."""

    bucket_seconds: float | None
    """Length of each; None for a single one with everything since the last reset."""
    buckets: dict[float, LearnedHour] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    ended_at: float = 0.0

    def on_poll(self, identity: DatabaseIdentity, window: PollWindow | None) -> Samples:
        """Take a window in."""
        del identity  # one capture is of one database
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
        tell: prints the progress, in a few words.

    Raises:
        CaptureError: the deployment has begun, or it is not known whether it has; or no statement
            was called.
        RunError: with the state in which a look at the database ended.
    """
    reader = FactsReader(database)
    facts = await reader.read()
    with tempfile.TemporaryDirectory(prefix="loom-exporter-") as folder:
        store = StateStore(Path(folder) / "state.sqlite3")
        try:
            stage = _Stage(settings, catalog, database, store, reader, facts)
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
    """The components of one capture."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        database: Database,
        store: StateStore,
        reader: FactsReader,
        facts: ServerFacts,
    ) -> None:
        self._settings = settings
        self._clock = Clock(settings.hour)
        self._catalog = catalog
        self._database = database
        self._people = store.scope(database.name, catalog.deployment.name)
        self._reader = reader
        self._facts = facts
        wanted = [
            query
            for query in catalog.all_queries
            if APPLIED in query.metrics or any(each.baseline for each in query.metrics.values())
        ]
        # The history last: what was asked before it is from before.
        self._queries = sorted(wanted, key=lambda query: APPLIED in query.metrics)
        names = [query.name for query in self._queries]
        self._snapshots = SnapshotStore(self._queries, dict.fromkeys(names, 3600.0))
        telemetry = Telemetry(database.name, self._queries)
        intervals = dict.fromkeys(names, 0.0)
        http = HttpSources(settings.sources)
        self._runner = Runner(database, self._snapshots, store, telemetry, intervals, http)
        self._history = MigrationHistory(self._people, catalog.deployment, self._clock)

    async def look(self) -> None:
        """Run the queries whose gauges are remembered, and check that no migration is applied."""
        for query in self._queries:
            await self._runner.run(query)
        migrations = applied_migrations(self._snapshots, self._clock)
        run = self._people.store.run
        seen = await run(self._history.record, self._facts.identity, migrations)
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
        """Poll for some seconds."""
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
        buckets = [(start, hour.recorded()) for start, hour in sorted(collector.buckets.items())]
        whole_seconds = collector.ended_at - buckets[0][0] if buckets else 1.0
        taken = (taken_from(self._snapshots[query.name], query) for query in self._queries)
        return build(
            lambda: buckets,
            self._catalog.deployment,
            bucket_seconds=collector.bucket_seconds or whole_seconds,
            clock=self._clock,
            identity=provenance_of(self._facts, class_rules_digest(self._catalog.deployment)),
            source="captured" if collector.bucket_seconds else "since_reset",
            texts=collector.texts,
            gauges=gauges_of(each for each in taken if each),
        )

    def _poller(self, collector: _Collector, *, from_zero: bool) -> Poller:
        return Poller(
            self._database,
            self._reader,
            self._people,
            self._catalog.deployment,
            show_texts=self._settings.statement_text,
            follower=collector,
            from_zero=from_zero,
            pause_seconds=0.0,  # once, and somebody waits for it
        )


async def _catch_up(poller: Poller, tell: Callable[[str], None]) -> None:
    """Poll until the text of every called statement is known."""
    while poller.is_behind:
        tell("reading more texts of statements")
        await poller.ask()

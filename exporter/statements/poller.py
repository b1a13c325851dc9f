"""Polls pg_stat_statements: reads it, counts new calls, stores them, and returns the samples."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

import structlog

from exporter.catalog import Deployment, Metric
from exporter.catalog.own_metrics import own_metrics
from exporter.collect.snapshot import Samples
from exporter.collect.source import Job, RunResult
from exporter.database.database import Database
from exporter.database.facts import FactsReader, ServerFacts
from exporter.database.identity import DatabaseIdentity
from exporter.database.transaction import Question
from exporter.run_state import RunError, State
from exporter.state import Scope
from exporter.statements.adoption import Adoption
from exporter.statements.continuity import BREAKS, Break, break_between
from exporter.statements.counters import Advance, Key, Poll, advance
from exporter.statements.metrics import classes_of, statement_samples
from exporter.statements.persistence import load_tally, rules_of, save_tally
from exporter.statements.reading import (
    EXTENSION,
    StatementsExtension,
    UnsupportedExtensionError,
    poll_sql,
    read_poll,
)
from exporter.statements.slowest import Slow, Slowest
from exporter.statements.tally import Known, PollWindow, Tally, slow
from exporter.statements.text_reader import PAUSE_SECONDS, TextReader

POLL_NAME = "pg_stat_statements"
POLL_INTERVAL_SECONDS = 30.0
MAX_AGE_SECONDS = 3 * POLL_INTERVAL_SECONDS

_TIMEOUT_SECONDS = 2.0
_DISCOVERY_SECONDS = 3600.0

_log = structlog.get_logger(__name__)


class Follower(Protocol):
    """Gets each window, on the worker of the state, and adds metrics to those of the poll."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics by name."""

    def on_poll(self, identity: DatabaseIdentity, window: PollWindow | None) -> Samples:
        """Take a window in, None for the first poll ever, and return the samples of the metrics.

        Called when the poll is counted and written down: a process that is killed before that
        loses it.
        """


class Poller:
    """Counts the calls in pg_stat_statements from poll to poll, also over restarts.

    Not for concurrent use.
    """

    def __init__(
        self,
        database: Database,
        facts: FactsReader,
        people: Scope,
        deployment: Deployment,
        *,
        show_texts: bool,
        follower: Follower | None = None,
        from_zero: bool = False,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """Begin without any counts; the first poll reads those that the state has.

        Args:
            database: where pg_stat_statements is.
            facts: says which database that is.
            people: scope of what people say of the deployment; each database has its own beside it.
            deployment: with the classes and roles.
            show_texts: whether statements are shown with their text.
            follower: gets each window.
            from_zero: count what was called before the first poll as well.
            pause_seconds: time between two readings of many texts.
        """
        self._database = database
        self._facts = facts
        self._people = people
        self._deployment = deployment
        self._follower = follower
        self._from_zero = from_zero
        self._texts = TextReader(database, deployment, show=show_texts, pause_seconds=pause_seconds)
        self._rules = rules_of(deployment, show=show_texts)
        self._extension: StatementsExtension | None = None
        self._extension_until = float("-inf")
        self._scope = people
        self._tally = Tally()
        self._slowest = Slowest()
        self._adoption = Adoption(deployment.replacements)
        self.slowest: Sequence[Slow] = ()
        """The slowest statements of the last quarter of an hour, slowest first."""
        self._is_written = False
        """Whether the store holds the tally of the last poll."""
        self._polled_at: float | None = None
        """When the poll before was made, in seconds of a monotonic clock; None if not by us."""

    @property
    def is_behind(self) -> bool:
        """Whether there are calls of statements whose text is not read yet."""
        return bool(self._tally.pending)

    def job(self, longest_interval: float | None) -> Job:
        """Return the polling as a job; `longest_interval` may make it more frequent."""
        # No shorter than the timeout: a poll must end before the next one is due.
        interval = max(min(POLL_INTERVAL_SECONDS, longest_interval or math.inf), _TIMEOUT_SECONDS)
        of_follower = self._follower.metrics if self._follower else {}
        return Job(POLL_NAME, {**own_metrics("statements"), **of_follower}, interval, self.ask)

    async def ask(self) -> RunResult:
        """Poll once.

        Raises:
            RunError: `absent`, the extension is not there, not preloaded or too old; `denied`, some
                entries are hidden; or a state of queries.
        """
        run = self._people.store.run
        facts, extension, poll = await self._poll()
        polled_at = time.monotonic()
        if facts.uncounted:
            raise RunError(State.ABSENT, f"the server counts no statements: {facts.uncounted}")
        if poll.hidden:
            raise RunError(
                State.DENIED,
                f"{poll.hidden} entries are hidden from a role without pg_read_all_stats",
            )
        if self._scope.identity is None or not self._scope.identity.is_same(facts.identity):
            await run(self._begin, facts.identity)
        elapsed = polled_at - self._polled_at if self._polled_at is not None else None
        step, dropped = await run(self._advance, poll, elapsed)
        self._polled_at = polled_at
        unread = self._texts.due(self._tally.unread(poll, step))
        learnt: Mapping[Key, Known] = {}
        asked: Sequence[Key] = ()
        failure: RunError | None = None
        try:
            learnt, asked = await self._texts.read(extension, unread, self._tally.known.values())
        except RunError as error:  # the poll is counted all the same
            failure = error
        answer = await run(self._take, poll, step, learnt, asked, dropped)
        if failure:
            raise failure
        return answer

    async def _poll(self) -> tuple[ServerFacts, StatementsExtension, Poll]:
        """Read all entries; look again if the extension or the database is not what it was."""
        facts = await self._facts.read()
        if self._extension and time.monotonic() < self._extension_until:
            try:
                poll = await self._entries(self._extension)
                if poll.database_oid == facts.database_oid:
                    return facts, self._extension, poll
            except RunError as error:
                if error.state in (State.LOCKED, State.TIMEOUT):
                    raise
                self._extension = None
                if error.state is State.UNREACHABLE:
                    raise
        self._extension = None
        facts = await self._facts.read(max_age_seconds=0.0)
        extension = await self._discover(facts)
        poll = await self._entries(extension)
        if poll.database_oid != facts.database_oid:
            raise RunError(State.ERROR, "another database answers than just before")
        self._extension = extension
        self._extension_until = time.monotonic() + _DISCOVERY_SECONDS
        return facts, extension, poll

    async def _discover(self, facts: ServerFacts) -> StatementsExtension:
        rows = await self._database.ask(Question(EXTENSION, _TIMEOUT_SECONDS))
        if not rows:
            raise RunError(State.ABSENT, f"{POLL_NAME} is not installed in this database")
        schema, version, columns, has_info = rows[0]
        try:
            extension = StatementsExtension(schema, version, columns or (), has_info)
        except UnsupportedExtensionError as error:
            raise RunError(State.ABSENT, str(error)) from None
        if not facts.is_preloaded:  # found out without an error in the server's log
            raise RunError(State.ABSENT, f"{POLL_NAME} is not in shared_preload_libraries")
        return extension

    async def _entries(self, extension: StatementsExtension) -> Poll:
        rows = await self._database.ask(
            Question(poll_sql(extension), _TIMEOUT_SECONDS, binary=True)
        )
        return await asyncio.to_thread(read_poll, rows)

    # Below, on the worker of the state.

    def _begin(self, identity: DatabaseIdentity) -> None:
        """Go on with the counts of a database that the state has, or begin without any."""
        self._scope = self._people.of(identity)
        self._tally, self._slowest, self._is_written = Tally(), Slowest(), False
        self.slowest, self._polled_at = (), None
        restored = load_tally(self._scope, identity, self._rules)
        if restored:
            self._tally, self._is_written = restored
        elif self._from_zero:
            epoch = datetime.fromtimestamp(0, UTC)
            self._tally.poll = Poll(epoch, epoch, {}, dealloc=0)

    def _advance(self, poll: Poll, elapsed_seconds: float | None) -> tuple[Advance, Break | None]:
        """Return the new calls; none where the polls cannot be compared, and why they cannot."""
        before = self._tally.poll
        reason = break_between(before, poll, elapsed_seconds) if before else None
        if reason is None:
            return advance(before, poll), None
        _log.warning("the calls since the last poll are not counted", reason=BREAKS[reason])
        # Of another server every entry is a new one, as in the first poll ever.
        step = advance(None if reason is Break.OTHER_SERVER else before, poll)
        return replace(step, deltas={}), reason

    def _take(
        self,
        poll: Poll,
        step: Advance,
        learnt: Mapping[Key, Known],
        asked: Sequence[Key],
        dropped: Break | None,
    ) -> RunResult:
        """Count, and write down what was counted before it is shown."""
        tally, before = self._tally, self._tally.poll
        if dropped:
            tally.drop(dropped)
        ended = (tally.known.get(key) for key in step.ended)
        lost = frozenset(known.class_name for known in ended if known)
        counted = tally.take(poll, step, learnt, asked)
        gone = before.readings.keys() - poll.readings.keys() if before else set()
        self._is_written = save_tally(
            self._scope,
            tally,
            self._rules,
            changed=step.changed | gone,
            recognised=step.fresh | gone | learnt.keys(),
            replace=not self._is_written,
        )
        self.slowest = self._slowest.add(counted, time.monotonic())
        self._adoption.add(counted)
        slow_ones = before and slow(
            counted, classes_of(self._deployment), self._deployment.slow_statement
        )
        samples = statement_samples(tally, self._deployment, slow_ones or None, self.slowest)
        samples = {**samples, **self._adoption.samples()}
        if self._follower and self._scope.identity:
            window = None
            if before:
                window = PollWindow(
                    before.ended_at,
                    poll.ended_at,
                    counted,
                    lost,
                    step.resets,
                    step.evictions,
                    poll.stats_reset,
                    dropped,
                )
            samples = {**samples, **self._follower.on_poll(self._scope.identity, window)}
        return RunResult(State.OK, samples)

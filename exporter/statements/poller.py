"""Polls pg_stat_statements: reads it, counts new calls, stores them, and returns the samples."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog

from exporter.catalog import Deployment, Metric
from exporter.catalog.own_metrics import own_metrics
from exporter.collect.snapshot import Samples
from exporter.collect.source import Job, RunResult
from exporter.database.database import Database
from exporter.database.facts import read_facts
from exporter.database.identity import DatabaseIdentity, identity_of
from exporter.database.outcome import RunError, State
from exporter.database.transaction import Question
from exporter.state import StateStore
from exporter.statements.counters import Advance, Key, Poll, advance
from exporter.statements.metrics import classes_of, statement_samples
from exporter.statements.persistence import TOPIC, documents, restore, rules_of
from exporter.statements.reading import (
    EXTENSION,
    StatementsExtension,
    StatementText,
    UnsupportedExtensionError,
    poll_sql,
    read_poll,
    read_texts,
    text_parameters,
    texts_sql,
)
from exporter.statements.slowest import Slow, Slowest
from exporter.statements.tally import PollWindow, Tally, changed, recognise, slow

POLL_NAME = "pg_stat_statements"
POLL_INTERVAL_SECONDS = 30.0
MAX_AGE_SECONDS = 3 * POLL_INTERVAL_SECONDS

BATCH = 1_000
"""The most texts that are read at once: they may be long."""

FEW = 100
"""Up to this number, texts are read in the next poll; more of them, every `PAUSE_SECONDS`."""

PAUSE_SECONDS = 60.0

_TIMEOUT_SECONDS = 2.0
_TEXTS_TIMEOUT_SECONDS = 5.0
_DISCOVERY_SECONDS = 3600.0

_log = structlog.get_logger(__name__)


class Follower(Protocol):
    """Receives each window, in a thread, and adds metrics to those of the poll."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics by name."""

    def on_poll(self, owner: DatabaseIdentity, window: PollWindow | None) -> Samples:
        """Take in a window, None for the first poll ever, and return the samples of the metrics.

        Called after the poll was stored, so a process killed in between loses this window.
        """


@dataclass(frozen=True, slots=True)
class _Found:
    """What is polled, and until when it is not looked for again (`time.monotonic()`)."""

    extension: StatementsExtension
    owner: DatabaseIdentity
    until: float


class Poller:
    """Counts the calls in pg_stat_statements from poll to poll, also over restarts.

    Not for concurrent use.
    """

    def __init__(
        self,
        database: Database,
        store: StateStore,
        deployment: Deployment,
        *,
        show_texts: bool,
        follower: Follower | None = None,
        from_zero: bool = False,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            database: the database to poll.
            store: keeps the counters over restarts.
            deployment: names the classes and roles.
            show_texts: whether the slowest statements are shown with their text.
            follower: receives each window.
            from_zero: whether calls before the first poll count too.
            pause_seconds: least time between two readings of many texts.
        """
        self._database = database
        self._store = store
        self._deployment = deployment
        self._show_texts = show_texts
        self._follower = follower
        self._from_zero = from_zero
        self._pause_seconds = pause_seconds
        self._rules = rules_of(deployment, show=show_texts)
        self._found: _Found | None = None
        self._owner: DatabaseIdentity | None = None
        self._tally = Tally()
        self._slowest = Slowest()
        self.slowest: Sequence[Slow] = ()
        """The slowest statements of the last quarter of an hour, slowest first."""
        self._is_written = False
        """Whether the store holds the tally of the last poll."""
        self._texts_read_at = float("-inf")

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
        found, poll = await self._poll()
        if poll.hidden:
            raise RunError(
                State.DENIED,
                f"{poll.hidden} entries are hidden from a role without pg_read_all_stats",
            )
        if self._owner is None or not self._owner.is_same(found.owner):
            await asyncio.to_thread(self._begin, found.owner)
        step = await asyncio.to_thread(advance, self._tally.poll, poll)
        asked = self._due(self._tally.unread(poll, step))
        failure: RunError | None = None
        texts: Mapping[Key, StatementText] = {}
        if asked:
            try:
                texts = await self._texts(found.extension, asked)
            except RunError as error:  # the poll is counted all the same, or its calls were lost
                asked, failure = [], error
        answer = await asyncio.to_thread(self._take, found.owner, poll, step, texts, asked)
        if failure:
            raise failure
        return answer

    async def _poll(self) -> tuple[_Found, Poll]:
        """Read all entries; if that fails, look for the extension again."""
        found = self._found
        if found and time.monotonic() < found.until:
            try:
                return found, await self._entries(found.extension)
            except RunError as error:
                if error.state in (State.LOCKED, State.TIMEOUT):
                    raise
                self._found = None
                if error.state is State.UNREACHABLE:
                    raise
        self._found = found = await self._discover()
        try:
            return found, await self._entries(found.extension)
        except RunError:
            self._found = None
            raise

    async def _discover(self) -> _Found:
        rows = await self._database.ask(Question(EXTENSION, _TIMEOUT_SECONDS))
        if not rows:
            raise RunError(State.ABSENT, f"{POLL_NAME} is not installed in this database")
        schema, version, columns, has_info = rows[0]
        try:
            extension = StatementsExtension(schema, version, columns or (), has_info)
        except UnsupportedExtensionError as error:
            raise RunError(State.ABSENT, str(error)) from None
        facts = await read_facts(self._database)
        if not facts.is_preloaded:  # polling it would put an error into the server's log
            raise RunError(State.ABSENT, f"{POLL_NAME} is not in shared_preload_libraries")
        return _Found(extension, identity_of(facts), time.monotonic() + _DISCOVERY_SECONDS)

    async def _entries(self, extension: StatementsExtension) -> Poll:
        rows = await self._database.ask(
            Question(poll_sql(extension), _TIMEOUT_SECONDS, binary=True)
        )
        return await asyncio.to_thread(read_poll, rows)

    async def _texts(
        self, extension: StatementsExtension, keys: Sequence[Key]
    ) -> Mapping[Key, StatementText]:
        self._texts_read_at = time.monotonic()
        parameters = text_parameters(keys)
        return read_texts(
            await self._database.ask(
                Question(texts_sql(extension), _TEXTS_TIMEOUT_SECONDS, parameters)
            )
        )

    def _due(self, unread: Sequence[Key]) -> Sequence[Key]:
        """Return the entries whose text is read now; the server reads all of its texts for it."""
        if len(unread) > FEW and time.monotonic() < self._texts_read_at + self._pause_seconds:
            return ()
        return unread[:BATCH]

    def _begin(self, owner: DatabaseIdentity) -> None:
        """Continue from the stored counters, or from zero if there are none of this database."""
        self._tally, self._slowest, self._is_written = Tally(), Slowest(), False
        self.slowest = ()
        try:
            restored = restore(self._store.load(self._database.name, TOPIC), owner, self._rules)
        except ValueError as error:
            _log.error(
                "the stored counters cannot be read; counting starts at zero", reason=str(error)
            )
            restored = None
        if restored:
            self._tally, self._is_written = restored
        elif self._from_zero:
            epoch = datetime.fromtimestamp(0, UTC)
            self._tally.poll = Poll(epoch, epoch, {}, dealloc=0)
        self._owner = owner

    def _take(
        self,
        owner: DatabaseIdentity,
        poll: Poll,
        step: Advance,
        texts: Mapping[Key, StatementText],
        asked: Sequence[Key],
    ) -> RunResult:
        """Count the new calls and store them, before any sample or window is passed on."""
        tally, before = self._tally, self._tally.poll
        learnt = recognise(texts, self._deployment, show=self._show_texts)
        ended = (tally.known.get(key) for key in step.ended)
        lost = frozenset(known.class_name for known in ended if known)
        counted = tally.take(poll, step, learnt, asked)
        keys, gone = changed(before if self._is_written else None, poll)
        keys |= learnt.keys() | (step.fresh if before else set())
        self._is_written = self._store.save(
            self._database.name,
            TOPIC,
            documents(tally, owner, self._rules, keys, gone),
            replace=not self._is_written,
        )
        self.slowest = self._slowest.add(counted, time.monotonic())
        slow_ones = before and slow(
            counted, classes_of(self._deployment), self._deployment.slow_statement
        )
        samples = statement_samples(tally, self._deployment, slow_ones or None, self.slowest)
        if self._follower:
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
                )
            samples = {**samples, **self._follower.on_poll(owner, window)}
        return RunResult(State.OK, samples)

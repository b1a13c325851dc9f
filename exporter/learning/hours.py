"""How statements did, hour by hour, before the deployment.

An hour is a document of its own, written anew with each poll, so that a process that is killed
loses one poll. Hours that are over are not kept in memory, unless they cannot be written.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from exporter.catalog.deployment import OTHER
from exporter.clock import Clock
from exporter.database.identity import DatabaseIdentity
from exporter.state import StateStore
from exporter.statements.counters import NOTHING, Delta, combine
from exporter.statements.tally import Counted
from exporter.statements.window import PollWindow

TOPIC = "baseline hours"

KEPT = 28 * 24
"""Four weeks of hours: what is older tells little of today."""

KEPT_UNWRITTEN = 24
"""So many hours are held in memory while the state cannot be written."""

MOST_STATEMENTS_AN_HOUR = 5_000
"""In an hour that has so many, further ones are left out if they are of no class."""

_OWNER = "owner"

_log = structlog.get_logger(__name__)


class UnreadableError(Exception):
    """The state cannot be read now, so it is not known what was collected."""


class StatementKey(NamedTuple):
    """A statement as it ran as one role."""

    identity: str
    role: str
    class_name: str


@dataclass(slots=True)
class LearnedHour:
    """One hour, from the Unix time `start`; of `watched_seconds` of it the calls are known."""

    start: float
    watched_seconds: float = 0.0
    statements: dict[StatementKey, Delta] = field(default_factory=dict)
    excluded: str | None = None
    """Why it says nothing of how things usually are."""
    evictions: int = 0

    def add(self, window: PollWindow) -> None:
        """Add new calls; those of which no text is known cannot be told apart later."""
        self.watched_seconds += window.seconds
        self.evictions += window.evictions
        self.excluded = self.excluded or _disturbance(window)
        for known, delta in window.counted:
            if known.identity is None:
                continue
            statement = StatementKey(known.identity, known.role, known.class_name)
            before = self.statements.get(statement)
            if (
                before
                or known.class_name != OTHER
                or len(self.statements) < MOST_STATEMENTS_AN_HOUR
            ):
                self.statements[statement] = combine((before or NOTHING, delta))


class LearnedHours:
    """The hours of one database. Not to be used by two threads at once."""

    def __init__(self, store: StateStore, database: str, clock: Clock) -> None:
        """Begin without any hours; `begin` reads those of a database."""
        self._store = store
        self._database = database
        self._clock = clock
        self._owner: DatabaseIdentity | None = None
        self._starts: list[float] = []
        self._now: LearnedHour | None = None
        self._unwritten: dict[float, str] = {}
        self._is_in_step = False
        """Whether it is known which hours the store has."""
        self._disturbed: tuple[float, str] | None = None

    def begin(self, owner: DatabaseIdentity) -> None:
        """Go on with what was written down of this database; drop what is of another one."""
        self._owner, self._starts, self._now = owner, [], None
        self._unwritten, self._disturbed = {}, None
        self._fall_in_step()
        if self._starts:
            self._now = self._read(self._starts[-1])

    def add(self, window: PollWindow) -> None:
        """Add a window to the hour in which it began, and write that down.

        One that is longer than an hour is left out, as after a pause of the exporter: nobody
        knows when in it the calls were made.
        """
        if window.seconds > self._clock.hour_seconds:
            return
        start = self._clock.start_of_hour(window.started_at.timestamp())
        if self._now is None or self._now.start != start:
            self._now = self._bucket(start)
        self._now.add(window)
        self._write(self._now)

    def exclude(self, at: float, reason: str) -> None:
        """Leave the hour of a Unix time out of the baseline, be it that it is still to come."""
        disturbed = (self._clock.start_of_hour(at), reason)
        if disturbed == self._disturbed:
            return
        self._disturbed = disturbed
        start = disturbed[0]
        if start in self._starts:
            bucket = self._now if self._now and self._now.start == start else self._read(start)
            if bucket and not bucket.excluded:
                bucket.excluded = reason
                self._write(bucket)

    def until(self, end: float) -> Iterator[LearnedHour]:
        """Yield the hours that were over at this Unix time; one after the other, to save memory.

        Raises:
            UnreadableError: nothing is known of an hour for now.
        """
        for start in self._starts:
            if start + self._clock.hour_seconds <= end and (bucket := self._read(start)):
                yield bucket

    def clear(self) -> None:
        """Forget all hours."""
        if self._starts:
            self._starts, self._now, self._unwritten = [], None, {}
            self._is_in_step = self._begin_anew()

    @property
    def watched_seconds(self) -> float:
        """For how long calls have been collected; hours that are over count as whole."""
        if self._now is None:
            return 0.0
        return (len(self._starts) - 1) * self._clock.hour_seconds + self._now.watched_seconds

    def _bucket(self, start: float) -> LearnedHour:
        """Return an hour to add to; one that was there before, if the clock was set back."""
        if start in self._starts and (bucket := self._read(start)):
            return bucket
        self._starts = sorted({*self._starts, start})
        disturbed = self._disturbed
        excluded = disturbed[1] if disturbed and disturbed[0] == start else None
        return LearnedHour(start, excluded=excluded)

    def _read(self, start: float) -> LearnedHour | None:
        name = _name(start)
        text = self._unwritten.get(start) or self._store.read(self._database, TOPIC, name)
        if text is None and self._store.version(self._database, TOPIC) is None:
            raise UnreadableError
        try:
            watched, excluded, evictions, rows = json.loads(text or "")
            statements = {
                StatementKey(identity, role, class_name): Delta(calls, seconds, squared, 0, 0, 0)
                for identity, role, class_name, calls, seconds, squared in rows
            }
        except (TypeError, ValueError):
            _log.warning("an hour of the baseline is lost", hour=name)
            return None
        return LearnedHour(start, watched, statements, excluded, evictions)

    def _write(self, bucket: LearnedHour) -> None:
        rows = [
            (*statement, delta.calls, delta.seconds, delta.squared_deviation)
            for statement, delta in bucket.statements.items()
        ]
        content = [bucket.watched_seconds, bucket.excluded, bucket.evictions, rows]
        self._unwritten[bucket.start] = json.dumps(content, separators=(",", ":"))
        if not self._is_in_step:
            self._fall_in_step()
        changed: dict[str, str | None] = {_name(old): None for old in self._starts[:-KEPT]}
        changed |= {_name(start): text for start, text in self._unwritten.items()}
        self._starts = self._starts[-KEPT:]
        if self._is_in_step and self._store.save(self._database, TOPIC, changed):
            self._unwritten = {}
            return
        self._is_in_step = False
        for start in sorted(self._unwritten)[:-KEPT_UNWRITTEN]:
            del self._unwritten[start]
            self._starts = [other for other in self._starts if other != start]

    def _fall_in_step(self) -> None:
        """Find out which hours the store has: the file may be another one than before."""
        if self._store.version(self._database, TOPIC) is None:
            return  # unreadable, not empty
        written = self._store.read(self._database, TOPIC, _OWNER)
        try:
            if (
                written
                and self._owner
                and DatabaseIdentity(*json.loads(written)).is_same(self._owner)
            ):
                names = set(self._store.names(self._database, TOPIC)) - {_OWNER}
                self._starts = sorted({*map(float, names), *self._unwritten})
                self._is_in_step = True
                return
        except (TypeError, ValueError) as error:
            _log.error("the baseline so far cannot be read; it begins anew", reason=str(error))
        self._starts = sorted(self._unwritten)
        self._is_in_step = self._begin_anew()

    def _begin_anew(self) -> bool:
        owner = {_OWNER: json.dumps(self._owner)}
        return self._store.save(self._database, TOPIC, owner, replace=True)


def shown_texts(counted: Iterable[Counted]) -> dict[str, str]:
    """Return the texts that may be shown, by identity, of statements that belong to a class."""
    return {
        known.identity: known.shown
        for known, _ in counted
        if known.identity and known.shown and known.class_name != OTHER
    }


def _disturbance(window: PollWindow) -> str | None:
    """Return why a window says nothing of how things usually are, if it does not.

    Evictions matter where they hit a statement of a class: others come and go all the time.
    """
    if window.resets:
        return "statistics were reset"
    return "entries of statements were thrown out" if window.lost - {OTHER} else None


def _name(start: float) -> str:
    return f"{start:.3f}"

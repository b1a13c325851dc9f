"""How statements ran, hour by hour, before the deployment.

An hour is a document of its own, written again with each poll, so that a process that is killed
loses one poll. Hours that are over are not kept in memory, unless they cannot be written.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from exporter.catalog.deployment import OTHER
from exporter.clock import Clock
from exporter.state import Scope, Topic
from exporter.statements.continuity import BREAKS
from exporter.statements.counters import NOTHING, Delta, combine
from exporter.statements.tally import Counted, PollWindow
from exporter.statements.text import ALGORITHM

KEPT = 28 * 24
"""Four weeks of hours: what is older says little about today."""

KEPT_UNWRITTEN = 24
"""Hours that are held in memory while the state cannot be written."""

MOST_STATEMENTS_AN_HOUR = 5_000
"""In an hour that has as many, further ones are left out if they are of no class."""

_log = structlog.get_logger(__name__)


class UnreadableError(Exception):
    """The state cannot be read now, so it is not known what was collected."""


class StatementKey(NamedTuple):
    """A statement as it ran as one role."""

    identity: str
    role: str
    class_name: str


class RecordedHour(NamedTuple):
    """An hour as it is written: in rows, which take a third of the space of JSON objects."""

    watched_seconds: float
    excluded: str | None
    """Why the hour is not a usual one; None if it is."""
    evictions: int
    statements: list[tuple[str, str, str, int, float, float, int, int, int, float]]
    """Identity, role and class; then the fields of `Delta`."""


@dataclass(slots=True)
class LearnedHour:
    """One hour, from the Unix time `start`; of `watched_seconds` of it the calls are known."""

    start: float
    watched_seconds: float = 0.0
    statements: dict[StatementKey, Delta] = field(default_factory=dict)
    excluded: str | None = None
    """Why the hour is not a usual one; None if it is."""
    evictions: int = 0

    def add(self, window: PollWindow) -> None:
        """Add new calls; those whose text is not known are left out, for they have no name."""
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

    def recorded(self) -> RecordedHour:
        """Return the hour as it is written."""
        rows = [(*statement, *delta) for statement, delta in self.statements.items()]
        return RecordedHour(self.watched_seconds, self.excluded, self.evictions, rows)


HOURS: Topic[RecordedHour] = Topic(
    f"baseline hours 2, statements named by {ALGORITHM}", RecordedHour
)
"""Hours of another form, or under another naming of statements, are left where they are, and never
mixed with these."""


_USED = "used"
"""The key of the document that says that the hours are used."""


class LearnedHours:
    """The hours of one database."""

    def __init__(self, clock: Clock) -> None:
        """Begin without any hours; `begin` reads those of a database."""
        self._clock = clock
        self._scope: Scope | None = None
        self._starts: list[float] = []
        self._now: LearnedHour | None = None
        self._unwritten: dict[float, bytes] = {}
        self._is_listed = False
        """Whether it is known which hours the state has."""
        self._disturbed: tuple[float, str] | None = None
        self.are_used = False
        """Whether a baseline was made of them, or in their place: no further one is."""

    def begin(self, scope: Scope) -> None:
        """Go on with what is written of a database."""
        self._scope, self._starts, self._now = scope, [], None
        self.are_used = _USED in HOURS.keys(scope)
        self._unwritten, self._disturbed = {}, None
        self._list(scope)
        if self._starts:
            self._now = self._kept(self._starts[-1])

    def add(self, window: PollWindow) -> None:
        """Add a window to the hour in which it began, and write that down.

        One that is longer than an hour is left out, as after a pause of the exporter: it is not
        known when in it the calls were made.
        """
        if window.dropped:
            self.exclude(window.ended_at.timestamp(), BREAKS[window.dropped])
            return
        if window.seconds > self._clock.hour_seconds:
            return
        if self.are_used:
            self.clear()
        start = self._clock.start_of_hour(window.started_at.timestamp())
        if self._now is None or self._now.start != start:
            self._now = self._begun(start)
        self._now.add(window)
        self._write(self._now)

    def exclude(self, at: float, reason: str) -> None:
        """Leave the hour of a Unix time out of the baseline, even if it is still to come."""
        disturbed = (self._clock.start_of_hour(at), reason)
        if disturbed == self._disturbed:
            return
        self._disturbed = disturbed
        start = disturbed[0]
        if start in self._starts:
            hour = self._now if self._now and self._now.start == start else self._kept(start)
            if hour and not hour.excluded:
                hour.excluded = reason
                self._write(hour)

    def reader(self, end: float) -> Callable[[], Iterator[tuple[float, RecordedHour]]]:
        """Return what yields the hours that were over at a Unix time, on any thread but the worker.

        With the Unix time at which each began; one after the other, to save memory. Each is read on
        the worker, between other work.

        Raises:
            UnreadableError: by what is returned: the state cannot be read now, or is closed.
        """
        scope, unwritten = self._scope, dict(self._unwritten)
        starts = [start for start in self._starts if start + self._clock.hour_seconds <= end]

        def read() -> Iterator[tuple[float, RecordedHour]]:
            for start in starts:
                if scope is None:
                    return
                try:
                    content = unwritten.get(start) or scope.store.wait_for(_content, scope, start)
                except RuntimeError:
                    raise UnreadableError from None
                if hour := _recorded(scope, start, content):
                    yield start, hour

        return read

    def has_any(self, end: float) -> bool:
        """Return whether there are hours, not used yet, that were over at a Unix time."""
        return not self.are_used and any(
            start + self._clock.hour_seconds <= end for start in self._starts
        )

    def mark_used(self) -> None:
        """Keep the hours only for making the same baseline again, without some of them."""
        if self._scope and not self.are_used:
            self.are_used = self._scope.store.save(self._scope, HOURS.name, {_USED: b"{}"})

    def clear(self) -> None:
        """Forget all hours."""
        if (self._starts or self.are_used) and self._scope:
            self._starts, self._now, self._unwritten, self.are_used = [], None, {}, False
            self._is_listed = HOURS.save(self._scope, {}, replace=True)

    @property
    def watched_seconds(self) -> float:
        """Time for which calls have been collected; hours that are over count as whole."""
        if self._now is None:
            return 0.0
        return (len(self._starts) - 1) * self._clock.hour_seconds + self._now.watched_seconds

    def _begun(self, start: float) -> LearnedHour:
        """Return an hour to add to; one that was there before, if the clock was set back."""
        if start in self._starts and (hour := self._kept(start)):
            return hour
        self._starts = sorted({*self._starts, start})
        disturbed = self._disturbed
        excluded = disturbed[1] if disturbed and disturbed[0] == start else None
        return LearnedHour(start, excluded=excluded)

    def _kept(self, start: float) -> LearnedHour | None:
        if self._scope is None:
            return None
        content = self._unwritten.get(start) or _content(self._scope, start)
        hour = _recorded(self._scope, start, content)
        if hour is None:
            return None
        statements = {StatementKey(*row[:3]): Delta(*row[3:]) for row in hour.statements}
        return LearnedHour(start, hour.watched_seconds, statements, hour.excluded, hour.evictions)

    def _write(self, hour: LearnedHour) -> None:
        if self._scope is None:
            return
        self._unwritten[hour.start] = HOURS.encoded(hour.recorded())
        if not self._is_listed:
            self._list(self._scope)
        changed: dict[str, bytes | None] = {_key(old): None for old in self._starts[:-KEPT]}
        changed |= {_key(start): content for start, content in self._unwritten.items()}
        self._starts = self._starts[-KEPT:]
        if self._is_listed and self._scope.store.save(self._scope, HOURS.name, changed):
            self._unwritten = {}
            return
        self._is_listed = False
        for start in sorted(self._unwritten)[:-KEPT_UNWRITTEN]:
            del self._unwritten[start]
            self._starts = [other for other in self._starts if other != start]

    def _list(self, scope: Scope) -> None:
        """Read which hours the state has: the file may be another one than before."""
        if HOURS.version(scope) is None:
            return  # unreadable, not empty
        self._starts = sorted({*_starts(HOURS.keys(scope)), *self._unwritten})
        self._is_listed = True


def shown_texts(counted: Iterable[Counted]) -> dict[str, str]:
    """Return the texts that may be shown, by identity, of statements that belong to a class."""
    return {
        known.identity: known.shown
        for known, _ in counted
        if known.identity and known.shown and known.class_name != OTHER
    }


def _disturbance(window: PollWindow) -> str | None:
    """Return why a window makes its hour an unusual one, if it does.

    Evictions matter where they hit a statement of a class: others come and go all the time.
    """
    if window.resets:
        return "statistics were reset"
    return "entries of statements were thrown out" if window.lost - {OTHER} else None


def _content(scope: Scope, start: float) -> bytes | None:
    """Read an hour as it is written.

    Raises:
        UnreadableError: the state cannot be read now.
    """
    content = scope.store.read(scope, HOURS.name, _key(start))
    if content is None and HOURS.version(scope) is None:
        raise UnreadableError
    return content


def _recorded(scope: Scope, start: float, content: bytes | None) -> RecordedHour | None:
    """Return an hour that is written; None if it is missing or damaged."""
    return None if content is None else HOURS.decoded(scope, _key(start), content)


def _key(start: float) -> str:
    return f"{start:.3f}"


def _starts(keys: Iterable[str]) -> Iterator[float]:
    for key in keys:
        with suppress(ValueError):  # a key that is damaged
            yield float(key)

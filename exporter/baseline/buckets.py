"""How statements did, hour by hour, before the deployment.

An hour is a document of its own, written anew with each poll, so that a process that is killed
loses one poll. Hours that are over are not kept in memory.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from exporter.catalog.deployment import OTHER
from exporter.state import StateStore
from exporter.statements.counters import NOTHING, Delta, combine
from exporter.statements.memory import Owner
from exporter.statements.tally import Counted
from exporter.statements.window import Window

TOPIC = "baseline hours"

KEPT = 28 * 24
"""Four weeks of hours: what is older tells little of today."""

_OWNER = "owner"

_log = structlog.get_logger(__name__)


class Statement(NamedTuple):
    """A statement as it ran as one role."""

    identity: str
    role: str
    class_name: str


@dataclass(slots=True)
class Bucket:
    """One hour, from the Unix time `start`; of `watched_seconds` of it the calls are known."""

    start: float
    watched_seconds: float = 0.0
    statements: dict[Statement, Delta] = field(default_factory=dict)
    excluded: str | None = None
    """Why it says nothing of how things usually are."""
    evictions: int = 0

    def add(self, window: Window) -> None:
        """Add new calls; those of which no text is known cannot be told apart later."""
        self.watched_seconds += window.seconds
        self.evictions += window.evictions
        for known, delta in window.counted:
            if known.identity is not None:
                statement = Statement(known.identity, known.role, known.class_name)
                before = self.statements.get(statement, NOTHING)
                self.statements[statement] = combine((before, delta))


class Buckets:
    """The hours of one database. Not to be used by two threads at once."""

    def __init__(self, store: StateStore, database: str, hour_seconds: float) -> None:
        """Prepare; `hour_seconds` is shorter than 3600 in a rehearsal."""
        self._store = store
        self._database = database
        self._hour_seconds = hour_seconds
        self._starts: list[float] = []
        self._now: Bucket | None = None
        self._unwritten: dict[float, str] = {}
        """Hours that the store could not take."""

    def begin(self, owner: Owner) -> None:
        """Go on with what was written down of this database; drop what is of another one."""
        self._starts, self._now, self._unwritten = [], None, {}
        written = self._store.read(self._database, TOPIC, _OWNER)
        try:
            if written and Owner(*json.loads(written)).is_same(owner):
                names = set(self._store.names(self._database, TOPIC)) - {_OWNER}
                self._starts = sorted(map(float, names))
                self._now = self._read(self._starts[-1]) if self._starts else None
                return
        except (TypeError, ValueError) as error:
            _log.error("the baseline so far cannot be read; it begins anew", reason=str(error))
        if self._store.version(self._database, TOPIC) is not None:  # else: unreadable, not empty
            self._store.save(self._database, TOPIC, {_OWNER: json.dumps(owner)}, replace=True)

    def add(self, window: Window) -> None:
        """Add a window to the hour in which it began, and write that down.

        One that is longer than an hour is left out, as after a pause of the exporter: nobody
        knows when in it the calls were made.
        """
        if window.seconds > self._hour_seconds:
            return
        began_at = window.started_at.timestamp()
        start = began_at - began_at % self._hour_seconds
        if self._now is None or self._now.start < start:
            self._now = Bucket(start)
            self._starts.append(start)
        self._now.add(window)
        self._write(self._now)

    def exclude(self, reason: str) -> None:
        """Leave the hour that is going on out of the baseline."""
        if self._now:
            self._now.excluded = reason
            self._write(self._now)

    def until(self, end: float) -> Iterator[Bucket]:
        """Yield the hours that were over at this Unix time; one after the other, to save memory."""
        for start in self._starts:
            if start + self._hour_seconds <= end and (bucket := self._read(start)):
                yield bucket

    def clear(self) -> None:
        """Forget all hours."""
        names: dict[str, str | None] = {_name(start): None for start in self._starts}
        self._starts, self._now, self._unwritten = [], None, {}
        self._store.save(self._database, TOPIC, names)

    @property
    def watched_seconds(self) -> float:
        """For how long calls have been collected; hours that are over count as whole."""
        if self._now is None:
            return 0.0
        return (len(self._starts) - 1) * self._hour_seconds + self._now.watched_seconds

    def _read(self, start: float) -> Bucket | None:
        text = self._unwritten.get(start) or self._store.read(self._database, TOPIC, _name(start))
        if text is None:
            _log.warning("an hour of the baseline is gone from the state", hour=_name(start))
            return None
        watched, excluded, evictions, rows = json.loads(text)
        statements = {
            Statement(identity, role, class_name): Delta(calls, seconds, squared, 0, 0, 0)
            for identity, role, class_name, calls, seconds, squared in rows
        }
        return Bucket(start, watched, statements, excluded, evictions)

    def _write(self, bucket: Bucket) -> None:
        rows = [
            (*statement, delta.calls, delta.seconds, delta.squared_deviation)
            for statement, delta in bucket.statements.items()
        ]
        content = [bucket.watched_seconds, bucket.excluded, bucket.evictions, rows]
        text = json.dumps(content, separators=(",", ":"))
        changed: dict[str, str | None] = {_name(old): None for old in self._starts[:-KEPT]}
        self._starts = self._starts[-KEPT:]
        if self._store.save(self._database, TOPIC, {**changed, _name(bucket.start): text}):
            self._unwritten.pop(bucket.start, None)
        else:
            self._unwritten[bucket.start] = text


def disturbance(window: Window) -> str | None:
    """Return why a window says nothing of how things usually are, if it does not.

    Evictions matter where they hit a statement of a class: others come and go all the time.
    """
    if window.resets:
        return "statistics were reset"
    return "entries of statements were thrown out" if window.lost - {OTHER} else None


def shown_texts(counted: Iterable[Counted]) -> dict[str, str]:
    """Return the texts that may be shown, by identity, of statements that belong to a class."""
    return {
        known.identity: known.shown
        for known, _ in counted
        if known.identity and known.shown and known.class_name != OTHER
    }


def _name(start: float) -> str:
    return f"{start:.3f}"

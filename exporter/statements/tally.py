"""The counters by class and role, and what the next poll needs to continue them.

The text of an entry is read after its first poll, and perhaps several polls later. Calls of such an
entry are pending until its class is known.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from exporter.catalog.deployment import OTHER, Deployment
from exporter.statements.classes import classify
from exporter.statements.continuity import Break
from exporter.statements.counters import Advance, Delta, Key, Poll, combine
from exporter.statements.partitions import NO_PARTITIONS, Partitions
from exporter.statements.reading import StatementText, role_label
from exporter.statements.text import display_text, parse_statement

_STRING = re.compile(r"'|\$(?!\d)")  # a quote, or a dollar sign that begins no parameter


class Known(NamedTuple):
    """The statement of an entry. `identity` and `shown` are None without a text that parses.

    `how` is that of `Classification`, or `ambiguous`. `text_hash` is None for a text that may hold
    a literal: a hash of it, written down, would let somebody check what they guess.
    """

    identity: str | None
    class_name: str
    role: str
    shown: str | None = None
    how: str = "parsed"
    text_hash: str | None = None


class Totals(NamedTuple):
    """Sums over the statements of one class and role. They never decrease."""

    calls: int = 0
    seconds: float = 0.0
    rows: int = 0
    blocks_hit: int = 0
    blocks_read: int = 0

    def plus(self, delta: Delta) -> "Totals":
        """Return the sum."""
        return Totals(
            self.calls + delta.calls,
            self.seconds + delta.seconds,
            self.rows + delta.rows,
            self.blocks_hit + delta.blocks_hit,
            self.blocks_read + delta.blocks_read,
        )


class Counted(NamedTuple):
    """New calls of one statement."""

    known: Known
    delta: Delta


@dataclass(frozen=True, slots=True)
class PollWindow:
    """New calls between two polls, by the server's clock.

    `counted` holds the calls of statements whose class became known in this poll, which as a rule
    are all. `lost` are the classes of entries that ended: some of their calls may be missing.
    `resets` counts entries that were reset, `evictions` how often the server evicted some, and
    `stats_reset` is when all of them were last reset. A window that was `dropped` has no calls: its
    two polls cannot be compared.
    """

    started_at: datetime
    ended_at: datetime
    counted: Sequence[Counted]
    lost: frozenset[str] = frozenset()
    resets: int = 0
    evictions: int = 0
    stats_reset: datetime | None = None
    dropped: Break | None = None

    @property
    def seconds(self) -> float:
        """Length of the window, in seconds; 0 if the server's clock was set back during it."""
        return max((self.ended_at - self.started_at).total_seconds(), 0.0)


@dataclass(slots=True)
class Tally:
    """All that the next poll needs.

    `totals` are by class and role. `pending` holds the calls of entries of unknown text. `users` is
    the name of each role seen, by its OID.
    """

    poll: Poll | None = None
    known: dict[Key, Known] = field(default_factory=dict)
    totals: dict[tuple[str, str], Totals] = field(default_factory=dict)
    pending: dict[Key, Delta] = field(default_factory=dict)
    users: dict[int, str] = field(default_factory=dict)
    resets: int = 0
    evictions: int = 0
    dropped: dict[Break, int] = field(default_factory=dict)
    """Number of windows that were dropped, by reason."""

    def drop(self, reason: Break) -> None:
        """Count a window that is dropped; of another server, no entry is known any more."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        if reason is Break.OTHER_SERVER:
            self.pending = {}

    def unread(self, poll: Poll, step: Advance) -> list[Key]:
        """Return the entries of `poll` whose text is not known, those with calls first."""
        unknown = (poll.readings.keys() - self.known.keys()) | step.fresh
        return sorted(unknown, key=lambda key: key not in step.deltas and key not in self.pending)

    def take(
        self, poll: Poll, step: Advance, read: Mapping[Key, Known], asked: Iterable[Key]
    ) -> list[Counted]:
        """Add the new calls of a poll, and return those whose statement is known.

        Args:
            poll: the poll.
            step: its difference from the previous poll.
            read: the statements whose text was read.
            asked: the entries whose text was asked for; those not in `read` are gone.
        """
        for key in step.fresh:
            self.known.pop(key, None)
        self.known.update(read)
        self.users.update((key.user, known.role) for key, known in read.items())
        lost = set(asked) - read.keys()
        deltas = {**self.pending, **step.deltas}
        for key in self.pending.keys() & step.deltas.keys():
            deltas[key] = combine((self.pending[key], step.deltas[key]))
        self.pending = {}
        counted: list[Counted] = []
        for key, delta in deltas.items():
            known = self.known.get(key)
            if known is None:
                if key in poll.readings and key not in lost:
                    self.pending[key] = delta
                    continue
                known = Known(None, OTHER, self.users.get(key.user, OTHER))
            counted.append(Counted(known, delta))
            labels = (known.class_name, known.role)
            self.totals[labels] = self.totals.get(labels, Totals()).plus(delta)
        for key in self.known.keys() - poll.readings.keys():
            del self.known[key]
        self.resets += step.resets
        self.evictions += step.evictions
        self.poll = poll
        return counted


def recognise(
    texts: Mapping[Key, StatementText],
    deployment: Deployment,
    known: Iterable[Known],
    partitions: Partitions = NO_PARTITIONS,
    *,
    show: bool,
) -> dict[Key, Known]:
    """Return the statement of each text.

    A text that is among those of `known` is not parsed again, as when an entry comes back, or when
    several roles call one statement. Any other takes about 0.2 ms, or 2 ms if it names a relation
    of a class.

    Args:
        texts: by entry.
        deployment: with the classes and the roles that have series.
        known: statements that were recognised for the same deployment.
        partitions: of the tables that its classes name.
        show: whether to keep what may be shown of a text.
    """
    by_hash = {each.text_hash: each for each in known if each.text_hash}
    found: dict[Key, Known] = {}
    for key, (text, role) in texts.items():
        text_hash = hash_of(text) if text else None
        statement = by_hash.get(text_hash) if text_hash else None
        if statement is None:
            statement = _recognised(text, text_hash, deployment, partitions, show=show)
            if text_hash:
                by_hash[text_hash] = statement
        found[key] = statement._replace(role=role_label(role, deployment.statement_roles))
    return found


def hash_of(text: str) -> str | None:
    """Return a hash of a text; None if it holds a string, which a statement as counted has not.

    >>> hash_of("select $1"), hash_of("alter role r password 'secret'")
    ('33b6c41f6add0678c4c0998193eefb69', None)
    """
    if _STRING.search(text):
        return None
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _recognised(
    text: str | None,
    text_hash: str | None,
    deployment: Deployment,
    partitions: Partitions,
    *,
    show: bool,
) -> Known:
    statement = parse_statement(text)
    class_name, how, ambiguous = classify(statement, deployment.classes, partitions)
    return Known(
        statement.identity if statement else None,
        class_name,
        OTHER,
        display_text(statement) if show and statement else None,
        "ambiguous" if ambiguous else how,
        text_hash,
    )


def slow(
    counted: Iterable[Counted], classes: Iterable[str], threshold_seconds: float
) -> dict[str, int]:
    """Return the number of statements of each class whose mean call took longer than a threshold.

    A statement that runs as several roles counts once.
    """
    sums: dict[tuple[str, str | None], tuple[int, float]] = {}
    for known, delta in counted:
        statement = (known.class_name, known.identity)
        calls, seconds = sums.get(statement, (0, 0.0))
        sums[statement] = (calls + delta.calls, seconds + delta.seconds)
    found = dict.fromkeys(classes, 0)
    for (class_name, _), (calls, seconds) in sums.items():
        if seconds > threshold_seconds * calls:
            found[class_name] += 1
    return found

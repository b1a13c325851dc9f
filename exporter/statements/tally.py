"""Counters of statements by class and role, and the entries from which they are counted.

The text of an entry is read after the entry was first seen, and not always at once. Until then its
calls are pending; they are counted when its class is known.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from exporter.catalog.deployment import OTHER, Deployment
from exporter.statements.classes import classify
from exporter.statements.counters import Advance, Delta, Key, Poll, combine
from exporter.statements.reading import StatementText, role_label
from exporter.statements.text import display_text, identity


class Known(NamedTuple):
    """What is known of an entry; `identity` and `shown` are None where it has no text.

    `how` says how its class was found, as `Classification` does, or that it is `ambiguous`.
    """

    identity: str | None
    class_name: str
    role: str
    shown: str | None = None
    how: str = "parsed"


class Totals(NamedTuple):
    """Sums of the statements of one class as one role. Grows only."""

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
    """New calls, and their statement."""

    known: Known
    delta: Delta


@dataclass(frozen=True, slots=True)
class PollWindow:
    """New calls from one poll to the next, by the server's clock.

    Calls are in it whose statement became known by now, as a rule all of them. `lost` names the
    classes of which an entry ended: calls of theirs may be missing. `resets` counts the entries
    that were reset, `evictions` how often others were thrown out; `stats_reset` is when all of them
    last were.
    """

    started_at: datetime
    ended_at: datetime
    counted: Sequence[Counted]
    lost: frozenset[str] = frozenset()
    resets: int = 0
    evictions: int = 0
    stats_reset: datetime | None = None

    @property
    def seconds(self) -> float:
        """How long the window is; 0 if the server's clock was set back in it."""
        return max((self.ended_at - self.started_at).total_seconds(), 0.0)


@dataclass(slots=True)
class Tally:
    """All that the next poll needs; `take` brings it up to date.

    `totals` are by class and role, `pending` has the calls of entries whose text is not known, and
    `users` the name of each role that was seen, by its OID.
    """

    poll: Poll | None = None
    known: dict[Key, Known] = field(default_factory=dict)
    totals: dict[tuple[str, str], Totals] = field(default_factory=dict)
    pending: dict[Key, Delta] = field(default_factory=dict)
    users: dict[int, str] = field(default_factory=dict)
    resets: int = 0
    evictions: int = 0

    def unread(self, poll: Poll, step: Advance) -> list[Key]:
        """Return the entries of `poll` whose text is not known, those with new calls first."""
        unknown = [key for key in poll.readings if key not in self.known or key in step.fresh]
        return sorted(unknown, key=lambda key: key not in step.deltas and key not in self.pending)

    def take(
        self, poll: Poll, step: Advance, read: Mapping[Key, Known], asked: Iterable[Key]
    ) -> list[Counted]:
        """Count the new calls of a poll, and return those whose statement is known.

        Args:
            poll: the poll.
            step: how it differs from the last one.
            read: the entries whose text was read.
            asked: the entries whose text was asked for; those not in `read` are gone.
        """
        for key in step.fresh:
            self.known.pop(key, None)
        self.known.update(read)
        self.users.update((key.user, known.role) for key, known in read.items())
        lost = set(asked) - read.keys()
        deltas = {key: [delta] for key, delta in self.pending.items()}
        for key, delta in step.deltas.items():
            deltas.setdefault(key, []).append(delta)
        self.pending = {}
        counted: list[Counted] = []
        for key, parts in deltas.items():
            delta = combine(parts)
            known = self.known.get(key)
            if known is None:
                if key in poll.readings and key not in lost:
                    self.pending[key] = delta
                    continue
                known = Known(None, OTHER, self.users.get(key.user, OTHER))
            counted.append(Counted(known, delta))
            place = (known.class_name, known.role)
            self.totals[place] = self.totals.get(place, Totals()).plus(delta)
        for key in self.known.keys() - poll.readings.keys():
            del self.known[key]
        self.resets += step.resets
        self.evictions += step.evictions
        self.poll = poll
        return counted


def recognise(
    texts: Mapping[Key, StatementText], deployment: Deployment, *, show: bool
) -> dict[Key, Known]:
    """Classify statements; takes a millisecond for each, and the stack of the parser."""
    found: dict[Key, Known] = {}
    for key, text in texts.items():
        class_name, how, ambiguous = classify(text.text, deployment.classes)
        found[key] = Known(
            identity(text.text),
            class_name,
            role_label(text.role, deployment.statement_roles),
            display_text(text.text) if show else None,
            "ambiguous" if ambiguous else how,
        )
    return found


def slow(
    counted: Iterable[Counted], classes: Iterable[str], threshold_seconds: float
) -> dict[str, int]:
    """Return for each class how many statements took longer than the threshold on average.

    A statement that runs as several roles is one.
    """
    sums: dict[tuple[str, str | None], tuple[int, float]] = {}
    for known, delta in counted:
        place = (known.class_name, known.identity)
        calls, seconds = sums.get(place, (0, 0.0))
        sums[place] = (calls + delta.calls, seconds + delta.seconds)
    found = dict.fromkeys(classes, 0)
    for (class_name, _), (calls, seconds) in sums.items():
        if seconds > threshold_seconds * calls:
            found[class_name] += 1
    return found


def changed(before: Poll | None, after: Poll) -> tuple[set[Key], set[Key]]:
    """Return the entries that are not as they were, and those that are gone."""
    if before is None:
        return set(after.readings), set()
    old, new = before.readings, after.readings
    return {key for key in new if old.get(key) != new[key]}, old.keys() - new.keys()

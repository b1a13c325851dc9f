"""Differences between two readings of pg_stat_statements, whatever became of its entries.

An entry's numbers grow while it lives. It ends when it is reset, evicted for a busier one, or lost
in a crash, and may begin again from zero at any time. A difference is never negative and never
counts a call twice. Calls after the last reading of an entry that ended are lost, and `Advance`
names the entry. Pure arithmetic: no clock, no network.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

# Relative. Less than any true decrease, more than the rounding error of a squared root.
_ROUNDING = 1e-9


class Key(NamedTuple):
    """Key of an entry of pg_stat_statements: OIDs of role and database, and the queryid."""

    user: int
    database: int
    query: int
    toplevel: bool = True


class Reading(NamedTuple):
    """An entry as it was read: sums over its life so far. Times are in seconds.

    `stddev_seconds` is that of the population, as the server computes it. `since` is when the entry
    began (extension 1.11 and newer); older ones have `min_seconds` and `max_seconds` instead.
    """

    calls: int
    seconds: float
    stddev_seconds: float
    rows: int
    blocks_hit: int
    blocks_read: int
    since: datetime | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None
    plan_seconds: float | None = None
    """Planning time; 0 unless `pg_stat_statements.track_planning` is on, None if not read."""

    @property
    def squared_deviation(self) -> float:
        """Sum of the squared deviations from the mean, in seconds squared."""
        return self.calls * self.stddev_seconds**2


@dataclass(frozen=True, slots=True)
class Poll:
    """All entries, read by one statement, with the server's clock before and after.

    `stats_reset` and `dealloc` are those of pg_stat_statements_info as of `started_at`, or None
    where the extension has no such view. `hidden` counts entries that the role may not see, and
    `database_oid` is of the database that answered, None where that was not asked;
    `postmaster_start` is when its server was started.
    """

    started_at: datetime
    ended_at: datetime
    readings: Mapping[Key, Reading]
    stats_reset: datetime | None = None
    dealloc: int | None = None
    hidden: int = 0
    database_oid: int | None = None
    postmaster_start: datetime | None = None


class Delta(NamedTuple):
    """Number of new calls of a statement, and their sums.

    `squared_deviation` is the sum of the squared deviations from the mean of these calls alone, in
    seconds squared. Divided by `calls` or `calls - 1` it is their population or sample variance.
    """

    calls: int
    seconds: float
    squared_deviation: float
    rows: int
    blocks_hit: int
    blocks_read: int
    plan_seconds: float = 0.0


NOTHING = Delta(0, 0.0, 0.0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Advance:
    """The difference between two polls.

    For each key in `ended`, the calls after its last reading are lost. An entry that began and
    ended between the polls is lost whole; only `evictions` or a reset hint at it. The server does
    not know either how many calls that were.
    """

    deltas: Mapping[Key, Delta]
    """New calls by entry; for a new entry, all of its calls."""
    fresh: frozenset[Key]
    """Entries that began. Their text is unknown, or may have changed."""
    ended: frozenset[Key]
    """Entries of the previous poll that ended, even if they began again."""
    resets: int
    """Number of entries in `ended` that were reset, as far as a reset differs from an eviction."""
    evictions: int
    """Number of times that the server evicted its least used entries, about 5 % each time."""


def advance(previous: Poll | None, poll: Poll) -> Advance:
    """Return the difference between two polls of one database.

    Of the first poll ever (`previous` is None) no calls are counted: they were made before it. Nor
    are those of an older copy of the statistics, because they were counted once.
    """
    if previous is None or is_older_copy(previous, poll):
        return Advance({}, frozenset(poll.readings), frozenset(), 0, 0)
    all_ended = _were_all_reset(previous, poll)
    deltas: dict[Key, Delta] = {}
    fresh: set[Key] = set()
    ended = set(previous.readings.keys() - poll.readings.keys())
    for key, reading in poll.readings.items():
        before = previous.readings.get(key)
        if before is None:
            fresh.add(key)
            if previous.hidden:
                continue  # perhaps an old entry that was hidden, with all its calls
        elif _has_ended(before, reading, all_ended=all_ended):
            fresh.add(key)
            ended.add(key)
            before = None
        if delta := difference(before, reading):
            deltas[key] = delta
    evictions = _evictions(previous, poll)
    resets = 0 if evictions and not all_ended else len(ended)
    return Advance(deltas, frozenset(fresh), frozenset(ended), resets, evictions)


def difference(before: Reading | None, after: Reading) -> Delta | None:
    """Return the calls between two readings of one life, or since it began (`before` is None).

    None if there were none. `squared_deviation` is that of the new calls alone: with c calls of
    total T and squared deviations M before, and n new ones of total t,

        M_new = M_after - M_before - (t/n - T/c)² · c·n / (c+n)

    which is the pairwise update of Chan, Golub and LeVeque (1979), solved for one part.
    """
    if before is None:
        before = _BEFORE_BIRTH
    calls = after.calls - before.calls
    if calls <= 0:
        return None
    seconds = max(after.seconds - before.seconds, 0.0)
    squared = after.squared_deviation
    if before.calls:
        shift = seconds / calls - before.seconds / before.calls
        squared -= before.squared_deviation + shift**2 * before.calls * calls / after.calls
    return Delta(
        calls,
        seconds,
        max(squared, 0.0) if calls > 1 else 0.0,
        max(after.rows - before.rows, 0),
        max(after.blocks_hit - before.blocks_hit, 0),
        max(after.blocks_read - before.blocks_read, 0),
        _planned(before, after),
    )


def _planned(before: Reading, after: Reading) -> float:
    if before.plan_seconds is None or after.plan_seconds is None:
        return 0.0
    return max(after.plan_seconds - before.plan_seconds, 0.0)


def combine(deltas: Iterable[Delta]) -> Delta:
    """Return the sum of deltas, as if all their calls were of one statement.

    Squared deviations are from the common mean (Chan, Golub and LeVeque, 1979).
    """
    calls = rows = blocks_hit = blocks_read = 0
    seconds = squared = planned = 0.0
    for delta in deltas:
        squared += delta.squared_deviation
        if calls and delta.calls:
            shift = delta.seconds / delta.calls - seconds / calls
            squared += shift**2 * calls * delta.calls / (calls + delta.calls)
        calls += delta.calls
        seconds += delta.seconds
        rows += delta.rows
        blocks_hit += delta.blocks_hit
        blocks_read += delta.blocks_read
        planned += delta.plan_seconds
    return Delta(calls, seconds, squared, rows, blocks_hit, blocks_read, planned)


_BEFORE_BIRTH = Reading(0, 0.0, 0.0, 0, 0, 0, plan_seconds=0.0)


def is_older_copy(previous: Poll, poll: Poll) -> bool:
    """Return whether the entries go on as they were before `previous`, as of a restored server.

    A reset and an eviction give an entry another beginning; only a copy gives it fewer calls.
    """
    if poll.stats_reset != previous.stats_reset:
        return False
    if None not in (poll.dealloc, previous.dealloc) and poll.dealloc < previous.dealloc:  # type: ignore[operator]
        return True
    for key, after in poll.readings.items():
        before = previous.readings.get(key)
        if before and before.since == after.since is not None and after.calls < before.calls:
            return True
    return False


def _were_all_reset(previous: Poll, poll: Poll) -> bool:
    """Return whether all entries certainly ended between the two polls.

    A reset during the previous poll shows only in `stats_reset` of this poll, though the entries
    may have been read after it. Then only their numbers decide, or calls would count twice.
    """
    return (
        poll.stats_reset is not None
        and poll.stats_reset != previous.stats_reset
        and poll.stats_reset > previous.ended_at
    )


def _has_ended(before: Reading, after: Reading, *, all_ended: bool) -> bool:
    """Return whether an entry ended, and began again, between two readings of its key."""
    if before.since is not None and after.since is not None:
        return after.since != before.since
    falls = (
        after.calls < before.calls
        or after.seconds < before.seconds
        or after.rows < before.rows
        or after.squared_deviation < before.squared_deviation * (1 - _ROUNDING)
    )
    return falls or all_ended or _extremes_shrink(before, after)


def _extremes_shrink(before: Reading, after: Reading) -> bool:
    return _is_less(after.max_seconds, before.max_seconds) or _is_less(
        before.min_seconds, after.min_seconds
    )


def _is_less(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and one < other


def _evictions(previous: Poll, poll: Poll) -> int:
    if poll.dealloc is None or previous.dealloc is None:
        return 0
    if poll.stats_reset != previous.stats_reset:
        return poll.dealloc
    return max(poll.dealloc - previous.dealloc, 0)

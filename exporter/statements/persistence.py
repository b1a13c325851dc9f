"""A tally as documents in the state: pages of entries, and one document for the rest.

A poll writes the pages in which an entry has changed: few entries cost little, and 5,000 cost less
than a document for each. The statements of the entries, which stay as they are, have pages of
their own.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from exporter.catalog.deployment import Deployment
from exporter.database.identity import DatabaseIdentity
from exporter.state import Scope, Table, Topic
from exporter.statements.continuity import Break
from exporter.statements.counters import Delta, Key, Poll, Reading
from exporter.statements.tally import Known, Tally, Totals
from exporter.statements.text import ALGORITHM

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Head:
    """All of a tally but its entries."""

    rules: str
    started_at: datetime
    ended_at: datetime
    stats_reset: datetime | None
    dealloc: int | None
    entries: int
    """How many there are: one that is damaged must not pass for one that was never there."""
    totals: Table[tuple[str, str], Totals]
    pending: Table[Key, Delta]
    users: dict[int, str]
    resets: int
    evictions: int
    postmaster_start: datetime | None = None
    dropped: dict[Break, int] = field(default_factory=dict)


_Entry = tuple[Reading, Known | None]
_Readings = list[tuple[int, int, Reading]]
_Statements = list[tuple[int, int, Known]]
"""Role and query of each entry, and what is known of it."""

TOPIC = "statements"
_HEAD: Topic[_Head] = Topic(TOPIC, _Head)
_READINGS: Topic[_Readings] = Topic(TOPIC, _Readings)
_STATEMENTS: Topic[_Statements] = Topic(TOPIC, _Statements)
_ENTRY: Topic[_Entry] = Topic(TOPIC, _Entry)
"""As earlier versions wrote entries: each in a document, named `entry`, role and query."""
_HEAD_KEY = "tally"
_PAGES = 1_024


def rules_of(deployment: Deployment, *, show: bool) -> str:
    """Return a hash of all that `Known` depends on, besides the text: the rules of the classes."""
    classes = [
        [name, rules.model_dump(mode="json", exclude={"margin"})]
        for name, rules in deployment.classes.items()
    ]
    rules = json.dumps([ALGORITHM, classes, deployment.statement_roles, show])
    return hashlib.sha256(rules.encode()).hexdigest()


def save_tally(
    scope: Scope,
    tally: Tally,
    rules: str,
    *,
    changed: Iterable[Key] = (),
    recognised: Iterable[Key] = (),
    replace: bool = False,
) -> bool:
    """Write a tally, and return whether it worked.

    Args:
        scope: whose tally it is.
        tally: what is written.
        rules: as `rules_of` returns them.
        changed: entries whose reading is another one than when the tally was last written, or which
            are gone.
        recognised: entries whose statement is another one, or which are gone.
        replace: write all entries.
    """
    poll = tally.poll
    if poll is None:
        return True
    pages = {
        **_READINGS.all_encoded(
            _pages("readings", poll.readings, poll.readings if replace else changed)
        ),
        **_STATEMENTS.all_encoded(
            _pages("statements", tally.known, tally.known if replace else recognised)
        ),
    }
    head = _Head(
        rules,
        poll.started_at,
        poll.ended_at,
        poll.stats_reset,
        poll.dealloc,
        len(poll.readings),
        tally.totals,
        tally.pending,
        tally.users,
        tally.resets,
        tally.evictions,
        poll.postmaster_start,
        tally.dropped,
    )
    pages[_HEAD_KEY] = _HEAD.encoded(head)
    return scope.store.save(scope, TOPIC, pages, replace=replace)


def load_tally(scope: Scope, identity: DatabaseIdentity, rules: str) -> tuple[Tally, bool] | None:
    """Return the tally of a database, and whether the state says all that it says.

    It does not where the rules have changed: the entries have to be classified again, while what
    was counted stays counted. Nor where entries are damaged: the calls of such an entry are not
    counted at the next poll, because it is not known which of them were. None without a tally.
    """
    written = dict(scope.store.load(scope, TOPIC))
    content = written.pop(_HEAD_KEY, None)
    head = None if content is None else _HEAD.decoded(scope, _HEAD_KEY, content)
    if head is None:
        return None
    old = _ENTRY.all_decoded(scope, _named("entry", written))
    readings = {_old_key(name, identity): reading for name, (reading, _) in old.items()} | {
        Key(user, identity.oid, query): reading
        for page in _READINGS.all_decoded(scope, _named("readings", written)).values()
        for user, query, reading in page
    }
    known = {_old_key(name, identity): known for name, (_, known) in old.items() if known} | {
        Key(user, identity.oid, query): known
        for page in _STATEMENTS.all_decoded(scope, _named("statements", written)).values()
        for user, query, known in page
    }
    lost = max(head.entries - len(readings), 0)
    is_current = head.rules == rules
    poll = Poll(
        head.started_at,
        head.ended_at,
        readings,
        head.stats_reset,
        head.dealloc,
        hidden=lost,
        postmaster_start=head.postmaster_start,
    )
    tally = Tally(
        poll,
        {key: known[key] for key in readings.keys() & known.keys()} if is_current else {},
        head.totals,
        head.pending,
        head.users if is_current else {},
        head.resets,
        head.evictions,
        head.dropped,
    )
    return tally, is_current and not (lost or old)


def _pages(
    prefix: str, of: Mapping[Key, T], touched: Iterable[Key]
) -> dict[str, list[tuple[int, int, T]] | None]:
    """Return the pages of these entries by name; None for one that has no entries any more."""
    found: dict[int, list[tuple[int, int, T]]] = {key.query % _PAGES: [] for key in touched}
    if found:
        for key, value in of.items():
            page = found.get(key.query % _PAGES)
            if page is not None:
                page.append((key.user, key.query, value))
    return {f"{prefix} {number}": page or None for number, page in found.items()}


def _named(prefix: str, written: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: each for name, each in written.items() if name.startswith(f"{prefix} ")}


def _old_key(name: str, identity: DatabaseIdentity) -> Key:
    _, user, query = name.split()
    return Key(int(user), identity.oid, int(query))

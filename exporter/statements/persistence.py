"""A tally as documents in the state: one per entry, and one for the rest."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from exporter.catalog.deployment import Deployment
from exporter.database.identity import DatabaseIdentity
from exporter.state import Scope, Table, Topic
from exporter.statements.continuity import Break
from exporter.statements.counters import Delta, Key, Poll, Reading
from exporter.statements.tally import Known, Tally, Totals
from exporter.statements.text import ALGORITHM


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

TOPIC = "statements"
_HEAD: Topic[_Head] = Topic(TOPIC, _Head)
_ENTRIES: Topic[_Entry] = Topic(TOPIC, _Entry)
_HEAD_KEY = "tally"


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
    keys: Iterable[Key],
    gone: Iterable[Key] = (),
    *,
    replace: bool = False,
) -> bool:
    """Write a tally, with these of its entries and without those gone; return whether it worked.

    With `replace`, `keys` are all of its entries.
    """
    poll = tally.poll
    if poll is None:
        return True
    changed = _ENTRIES.all_encoded({_name(key): None for key in gone})
    for key in keys:
        changed[_name(key)] = _ENTRIES.encoded((poll.readings[key], tally.known.get(key)))
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
    changed[_HEAD_KEY] = _HEAD.encoded(head)
    return scope.store.save(scope, TOPIC, changed, replace=replace)


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
    entries = _entries(_ENTRIES.all_decoded(scope, written), identity)
    lost = max(head.entries - len(entries), 0)
    is_current = head.rules == rules
    known = {key: known for key, (_, known) in entries.items() if known and is_current}
    poll = Poll(
        head.started_at,
        head.ended_at,
        {key: reading for key, (reading, _) in entries.items()},
        head.stats_reset,
        head.dealloc,
        hidden=lost,
        postmaster_start=head.postmaster_start,
    )
    tally = Tally(
        poll,
        known,
        head.totals,
        head.pending,
        head.users if is_current else {},
        head.resets,
        head.evictions,
        head.dropped,
    )
    return tally, is_current and not lost


def _entries(written: Mapping[str, _Entry], identity: DatabaseIdentity) -> dict[Key, _Entry]:
    found = {}
    for name, entry in written.items():
        _, user, query = name.split()
        found[Key(int(user), identity.oid, int(query))] = entry
    return found


def _name(key: Key) -> str:
    return f"entry {key.user} {key.query}"

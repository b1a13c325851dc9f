"""A tally as documents in the state: one per entry, and one for the rest."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from exporter.catalog.deployment import Deployment
from exporter.database.identity import DatabaseIdentity
from exporter.statements.counters import Delta, Key, Poll, Reading
from exporter.statements.tally import Known, Tally, Totals
from exporter.statements.text import ALGORITHM

TOPIC = "statements"

_HEAD = "tally"


def rules_of(deployment: Deployment, *, show: bool) -> str:
    """Return a hash of all that `Known` depends on, besides the text: the rules of the classes."""
    classes = [[name, rules.model_dump(mode="json")] for name, rules in deployment.classes.items()]
    rules = json.dumps([ALGORITHM, classes, deployment.statement_roles, show])
    return hashlib.sha256(rules.encode()).hexdigest()


def documents(
    tally: Tally, owner: DatabaseIdentity, rules: str, keys: Iterable[Key], gone: Iterable[Key] = ()
) -> dict[str, str | None]:
    """Return the documents to write: of the entries `keys`, None for those gone, and the head."""
    poll = tally.poll
    if poll is None:
        return {}
    found: dict[str, str | None] = {_name(key): None for key in gone}
    for key in keys:
        found[_name(key)] = json.dumps(
            [_values(poll.readings[key]), tally.known.get(key)], separators=(",", ":")
        )
    found[_HEAD] = json.dumps(
        {
            "owner": owner,
            "rules": rules,
            "poll": [
                poll.started_at.isoformat(),
                poll.ended_at.isoformat(),
                poll.stats_reset and poll.stats_reset.isoformat(),
                poll.dealloc,
            ],
            "totals": [[*labels, *totals] for labels, totals in tally.totals.items()],
            "pending": [[_name(key), _numbers(delta)] for key, delta in tally.pending.items()],
            "users": list(tally.users.items()),
            "resets": tally.resets,
            "evictions": tally.evictions,
        }
    )
    return found


def restore(
    written: Mapping[str, str], owner: DatabaseIdentity, rules: str
) -> tuple[Tally, bool] | None:
    """Return the tally in these documents, and whether it was written under the same rules.

    If not, its counters are kept and its entries are classified again. None if there is no tally,
    or one of another database.

    Raises:
        ValueError: the documents are not as `documents` writes them.
    """
    if _HEAD not in written:
        return None
    try:
        head = json.loads(written[_HEAD])
        if not DatabaseIdentity(*head["owner"]).is_same(owner):
            return None
        is_current = head["rules"] == rules
        started, ended, reset, dealloc = head["poll"]
        readings: dict[Key, Reading] = {}
        known: dict[Key, Known] = {}
        for name, text in written.items():
            if name != _HEAD:
                key = _key(name, owner)
                reading, known_as = json.loads(text)
                readings[key] = _reading(reading)
                if known_as and is_current:
                    known[key] = Known(*known_as)
        tally = Tally(
            Poll(
                datetime.fromisoformat(started),
                datetime.fromisoformat(ended),
                readings,
                reset and datetime.fromisoformat(reset),
                dealloc,
            ),
            known,
            {(name, role): Totals(*numbers) for name, role, *numbers in head["totals"]},
            {_key(name, owner): Delta(*numbers) for name, numbers in head["pending"]},
            dict(head["users"]) if is_current else {},
            head["resets"],
            head["evictions"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    return tally, is_current


def _name(key: Key) -> str:
    return f"entry {key.user} {key.query}"


def _key(name: str, owner: DatabaseIdentity) -> Key:
    _, user, query = name.split()
    return Key(int(user), owner.oid, int(query))


def _numbers(delta: Delta) -> list[float]:
    return [
        delta.calls,
        delta.seconds,
        delta.squared_deviation,
        delta.rows,
        delta.blocks_hit,
        delta.blocks_read,
    ]


def _values(reading: Reading) -> list[Any]:
    return [
        reading.calls,
        reading.seconds,
        reading.stddev_seconds,
        reading.rows,
        reading.blocks_hit,
        reading.blocks_read,
        reading.since and reading.since.isoformat(),
        reading.min_seconds,
        reading.max_seconds,
    ]


def _reading(values: list[Any]) -> Reading:
    calls, seconds, stddev, rows, hit, read, since, least, most = values
    dated = since and datetime.fromisoformat(since)
    return Reading(calls, seconds, stddev, rows, hit, read, dated, least, most)

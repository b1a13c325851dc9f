"""State files of versions 1 to 3, which had no scopes: what is kept of them, and where it goes.

People's words, the history of migrations, baselines and counters are kept: nothing of them could
be had again. Hours that were collected for a baseline are not: their statements have other names.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import structlog

from exporter.database.identity import DatabaseIdentity
from exporter.state import documents
from exporter.state.schema import checksum

_SAID = {"sign-offs of ": "sign-offs", "first week of ": "first week"}
"""Old topics ended in the name of the deployment; and what they are called now."""

_log = structlog.get_logger(__name__)


class _Moved(NamedTuple):
    """A document, and where it goes; `old_topic` is where it was."""

    old_topic: str
    deployment: str
    identity: DatabaseIdentity | None
    topic: str
    key: str
    content: str


def upgrade(file: sqlite3.Connection) -> None:
    """Move the rows of the old tables into the current ones, within a transaction."""
    tables = {name for (name,) in file.execute("SELECT name FROM sqlite_schema")}
    if "old_token" in tables:
        rows = file.execute("SELECT * FROM old_token").fetchall()
        file.executemany(
            "INSERT INTO token VALUES (?, ?, ?, ?, ?, ?)", [(*row, checksum(*row)) for row in rows]
        )
        file.execute("DROP TABLE old_token")
    if "old_document" not in tables:
        return
    left = Counter(topic for (topic,) in file.execute("SELECT topic FROM old_document"))
    kept: Counter[str] = Counter()
    for database, topics in _read(file).items():
        places: defaultdict[tuple[Any, ...], dict[str, bytes | None]] = defaultdict(dict)
        for old_topic, deployment, identity, topic, key, content in _moved(topics):
            places[deployment, identity, topic][key] = content.encode()
            kept[old_topic] += 1
        for (deployment, identity, topic), changed in places.items():
            number = documents.make_scope(file, database, deployment, identity)
            documents.save(file, number, topic, changed, replace=False)
    file.execute("DROP TABLE old_document")
    if left:
        _log.warning(
            "the state file was written by an older version; what is not kept is dropped",
            kept=dict(kept),
            dropped=dict(left - kept),
            reason="hours for a baseline were collected under other names of statements",
        )


def _read(file: sqlite3.Connection) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """Return the old documents by database, topic and name, but for the hours: they are many."""
    found: defaultdict[str, defaultdict[str, dict[str, str]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for database, topic, name, content in file.execute(
        "SELECT database, topic, name, content FROM old_document WHERE topic <> 'baseline hours'"
    ):
        found[database][topic][name] = content
    return found


def _moved(topics: Mapping[str, Mapping[str, str]]) -> Iterator[_Moved]:
    """Yield what becomes of the documents of a database."""
    for old_topic, named in topics.items():
        for prefix, topic in _SAID.items():
            if old_topic.startswith(prefix):
                deployment = old_topic.removeprefix(prefix)
                for key, content in named.items():
                    yield _Moved(old_topic, deployment, None, topic, key, content)
    for deployment, content in topics.get("rollout", {}).items():
        yield _Moved("rollout", deployment, None, "rollout", "marked_at", content)
    for deployment, content in topics.get("baseline", {}).items():
        if identity := _identity_of_baseline(content):
            yield _Moved("baseline", deployment, identity, "baseline", "document", content)
    for deployment, content in topics.get("deployment", {}).items():
        if not (identity := _owner(content)):
            continue
        yield _Moved("deployment", deployment, identity, "migrations", "seen", content)
        if sums := _sums(topics.get("comparison", {}).get(deployment, "")):
            yield _Moved("comparison", deployment, identity, "comparison", "sums", sums)
        for key, entry in _tally(topics.get("statements", {}), identity).items():
            yield _Moved("statements", deployment, identity, "statements", key, entry)


def _identity_of_baseline(content: str) -> DatabaseIdentity | None:
    try:
        of = json.loads(content)["identity"]
        return DatabaseIdentity(of["database_name"], of["database_oid"], of["system_identifier"])
    except (ValueError, KeyError, TypeError):
        return None


def _owner(content: str) -> DatabaseIdentity | None:
    try:
        return DatabaseIdentity(*json.loads(content)["owner"])
    except (ValueError, KeyError, TypeError):
        return None


def _tally(named: Mapping[str, str], identity: DatabaseIdentity) -> dict[str, str]:
    """Return the counters of statements by key; none if they are of another database."""
    owner = _owner(named.get("tally", ""))
    if not (owner and owner.is_same(identity)):
        return {}
    try:
        head = json.loads(named["tally"])
        started, ended, reset, dealloc = head["poll"]
        pending = [[name.split()[1:], delta] for name, delta in head["pending"]]
        converted = {
            "rules": head["rules"],
            "started_at": started,
            "ended_at": ended,
            "stats_reset": reset,
            "dealloc": dealloc,
            "entries": len(named) - 1,
            "totals": _pairs(head["totals"]),
            "pending": [[[user, identity.oid, query], delta] for (user, query), delta in pending],
            "users": dict(head["users"]),
            "resets": head["resets"],
            "evictions": head["evictions"],
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {**named, "tally": json.dumps(converted)}


def _sums(content: str) -> str | None:
    """Return the sums of a comparison as they are written now."""
    try:
        old = json.loads(content)
        return json.dumps(
            {
                "baseline": old["baseline"],
                "counted_at": old["counted_at"],
                "taken_at": old["taken_at"],
                "matched": _pairs(old["matched"]),
                "since": {
                    "at": old["since"],
                    "watched_seconds": old["watched_seconds"],
                    "matched": _pairs(old["since_matched"]),
                    "seconds": old["seconds"],
                },
            }
        )
    except (ValueError, KeyError, TypeError):
        return None


def _pairs(rows: Any) -> list[Any]:
    """Return rows of class, role and numbers as pairs of a key and its value."""
    return [[row[:2], row[2:]] for row in rows]

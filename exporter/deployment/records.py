"""Answers to the checks of the plan, as they were given when they were due, and kept."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum, auto

from exporter.deployment.people import UnixTime
from exporter.state import Scope, Topic


class Outcome(StrEnum):
    """What can be said of a deployment, or of a part of it."""

    PASS = auto()
    FAIL = auto()
    INCONCLUSIVE = auto()


@dataclass(frozen=True, slots=True)
class Record:
    """The answer to a check, as it was at the Unix time `at`."""

    outcome: Outcome
    evidence: str
    at: UnixTime
    check: str = ""
    """Its name; empty in a document whose key is the name alone."""


RECORDS: Topic[Record] = Topic("first week", Record)
"""By check and time, none replaces another; in the scope of what people say."""


def load_records(people: Scope) -> dict[str, tuple[Record, ...]]:
    """Return the records of each check, the earliest first.

    Raises:
        DamagedError: one of them cannot be read.
    """
    found: dict[str, list[Record]] = {}
    for key, record in RECORDS.load_all(people).items():
        found.setdefault(record.check or key, []).append(record)
    return {
        check: tuple(sorted(records, key=lambda each: each.at)) for check, records in found.items()
    }


def append_records(people: Scope, records: Iterable[Record]) -> bool:
    """Write records beside those that there are; return whether that worked."""
    return RECORDS.save(people, {f"{each.check}/{each.at:.3f}": each for each in records})

"""Answers to the checks of the first week, as they were given on their day, and kept."""

from dataclasses import dataclass
from enum import StrEnum, auto

from exporter.deployment.sign_offs import UnixTime
from exporter.state import Topic


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


RECORDS: Topic[Record] = Topic("first week", Record)
"""By the name of the check; in the scope of what people say."""

"""What people say of a deployment: who, why and when. No word takes the place of another."""

from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from exporter.errors import UsageError
from exporter.state import Scope, Topic
from exporter.yaml_source import plain_reason

UnixTime = Annotated[float, Field(ge=0, le=2**36, allow_inf_nan=False)]
"""Seconds; at most a year that the calendar of Python still has."""


def printable(text: str) -> str:
    """Return a text that is printable and on one line; ValueError for any other."""
    if not text.isprintable():
        raise ValueError("must be printable text on one line")
    return text


Person = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(printable),
]
"""The name of a person, as that person gives it."""

Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
    AfterValidator(printable),
]
"""Why something was done, on one line."""


class Word(BaseModel):
    """What one person says at the Unix time `at`."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    by: Person
    at: UnixTime


class Acknowledgement(Word):
    """The schema is meant to be as it is."""

    reason: Reason


class ReportedRollback(Word):
    """A phase was rolled back."""

    phase: str
    reason: Reason


class Note(Word):
    """Something to remember about the deployment."""

    text: Reason


class Mark(Word):
    """The application was rolled out by this person."""


ACKNOWLEDGEMENTS: Topic[Acknowledgement] = Topic("acknowledgements", Acknowledgement)
ROLLBACKS: Topic[ReportedRollback] = Topic("rollbacks", ReportedRollback)
NOTES: Topic[Note] = Topic("notes", Note)
MARKS: Topic[Mark] = Topic("marks", Mark)
"""Each by its time; in the scope of what people say."""

W = TypeVar("W", bound=Word)


def word(kind: type[W], about: str, **values: object) -> W:
    """Return the word of a person; `about` begins the line that says what is wrong with it.

    Raises:
        UsageError: a text is too long, not printable, or missing.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise UsageError(f"{about}: {key}: {plain_reason(first['type'], first['msg'])}") from None


def append(topic: Topic[W], people: Scope, given: W, name: str = "") -> bool:
    """Write a word beside those that there are; return whether that worked."""
    return topic.save(people, {f"{name}/{given.at:.6f}/{given.by}": given})


def in_order(topic: Topic[W], people: Scope) -> list[W]:
    """Return all words of a topic, the earliest first.

    Raises:
        DamagedError: one of them cannot be read, so it is not known what was said.
    """
    return sorted(topic.load_all(people).values(), key=lambda each: each.at)

"""Acknowledgements: who accepted a change of the schema after the deployment, when and why."""

from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
)

from exporter.deployment.sign_offs import UnixTime, printable
from exporter.errors import UsageError
from exporter.state import Scope, Topic
from exporter.yaml_source import plain_reason


class Acknowledgement(BaseModel):
    """One person's word that the schema is meant to be as it was at the Unix time `at`."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    by: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
        AfterValidator(printable),
    ]
    reason: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
        AfterValidator(printable),
    ]
    at: UnixTime


ACKNOWLEDGEMENTS: Topic[Acknowledgement] = Topic("acknowledgements", Acknowledgement)
"""By their time, none replaces another; in the scope of what people say."""


def acknowledgement(*, by: str, reason: str, at: float) -> Acknowledgement:
    """Return an acknowledgement.

    Raises:
        UsageError: a text is too long, not printable, or missing.
    """
    try:
        return Acknowledgement(by=by, reason=reason, at=at)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"acknowledge: {key}: {plain_reason(first['type'], first['msg'])}"
        ) from None


def append(people: Scope, given: Acknowledgement) -> bool:
    """Write an acknowledgement beside those that there are; return whether that worked."""
    return ACKNOWLEDGEMENTS.save(people, {f"{given.at:.6f}": given})


def latest(people: Scope) -> Acknowledgement | None:
    """Return the newest acknowledgement."""
    return max(ACKNOWLEDGEMENTS.load(people).values(), key=lambda each: each.at, default=None)

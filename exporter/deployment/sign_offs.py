"""Sign-offs: what people say about the deployment, who, when, and yes or no."""

import difflib
from collections.abc import Mapping
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from exporter.catalog import Deployment
from exporter.catalog.criteria import Check
from exporter.errors import UsageError
from exporter.state import Topic
from exporter.yaml_source import plain_reason


class SignOffError(UsageError):
    """A sign-off that cannot be taken; `str()` is one line that says why."""


UnixTime = Annotated[float, Field(ge=0, le=2**36, allow_inf_nan=False)]
"""Seconds; at most a year that the calendar of Python still has."""


def printable(text: str) -> str:
    """Return a text that is printable and on one line; ValueError for any other."""
    if not text.isprintable():
        raise ValueError("must be printable text on one line")
    return text


class SignOff(BaseModel):
    """One person's yes or no to a criterion, to a check, or beside them; `at` is a Unix time."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    approved: bool
    by: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
        AfterValidator(printable),
    ]
    note: Annotated[
        str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(printable)
    ] = ""
    at: UnixTime


SIGN_OFFS: Topic[SignOff] = Topic("sign-offs", SignOff)
"""By what was signed; in the scope of what people say."""


def signable(deployment: Deployment) -> dict[str, str]:
    """Return the title of everything that people judge, by name."""
    signed = {name: each.title for name, each in deployment.criteria.items() if each.is_signed} | {
        name: each.title for name, each in _checks(deployment).items() if each.manual
    }
    return signed | {name: each.title for name, each in deployment.sign_offs.items()}


def sign(
    deployment: Deployment, name: str, *, by: str, at: float, note: str = "", approved: bool = True
) -> SignOff:
    """Return a sign-off of `name` at the Unix time `at`.

    Raises:
        SignOffError: people judge nothing of that name, or a text is too long, not printable, or
            missing.
    """
    known = signable(deployment)
    if name not in known:
        raise SignOffError(_unknown(deployment, name, known))
    try:
        return SignOff(name=name, approved=approved, by=by, note=note, at=at)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise SignOffError(
            f"sign-off: {key}: {plain_reason(first['type'], first['msg'])}"
        ) from None


def _unknown(deployment: Deployment, name: str, known: Mapping[str, str]) -> str:
    judged = {
        *deployment.criteria,
        *(n for day in deployment.first_week.values() for n in day.checks),
    }
    if name in judged:
        return f"{name}: the exporter judges this by itself; see `loom-exporter verify`"
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known) or 'none'}"
    return f"{name}: there is nothing of that name to sign; {hint}"


def _checks(deployment: Deployment) -> dict[str, Check]:
    return {
        name: check for day in deployment.first_week.values() for name, check in day.checks.items()
    }

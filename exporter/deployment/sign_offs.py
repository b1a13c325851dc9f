"""Sign-offs: what people say about the deployment, who, when, and yes or no."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from exporter.catalog import Deployment
from exporter.deployment.people import Word, in_order, printable, word
from exporter.errors import UsageError
from exporter.state import Scope, Topic


class SignOff(Word):
    """One person's yes or no to a criterion, to a check, or beside them."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    approved: bool
    note: Annotated[
        str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(printable)
    ] = ""


SignOffs = Sequence[SignOff]
"""All words about one thing, the earliest first."""

SIGN_OFFS: Topic[SignOff] = Topic("sign-offs", SignOff)
"""By what was signed, when and by whom; in the scope of what people say."""


def current(given: SignOffs) -> list[SignOff]:
    """Return the latest word of each person, rejections first, then the latest first.

    Nobody takes back the word of another: what one rejects stays rejected until that person
    approves.
    """
    latest = {each.by: each for each in given}
    return sorted(latest.values(), key=lambda each: (each.approved, -each.at))


def load_sign_offs(people: Scope) -> dict[str, SignOffs]:
    """Return all words by what was signed.

    Raises:
        DamagedError: one of them cannot be read.
    """
    found: dict[str, list[SignOff]] = {}
    for each in in_order(SIGN_OFFS, people):
        found.setdefault(each.name, []).append(each)
    return {**found}


def signable(deployment: Deployment) -> dict[str, str]:
    """Return the title of everything that people judge, by name."""
    criteria = {name: each.title for name, each in deployment.all_criteria() if each.is_signed}
    checks = {name: each.title for name, each in deployment.checks() if each.is_signed}
    return criteria | checks | {name: each.title for name, each in deployment.sign_offs.items()}


def sign(
    deployment: Deployment, name: str, *, by: str, at: float, note: str = "", approved: bool = True
) -> SignOff:
    """Return a sign-off of `name` at the Unix time `at`.

    Raises:
        UsageError: people judge nothing of that name, or a text is too long, not printable, or
            missing.
    """
    known = signable(deployment)
    if name not in known:
        raise UsageError(_unknown(deployment, name, known))
    return word(SignOff, "sign-off", name=name, approved=approved, by=by, note=note, at=at)


def _unknown(deployment: Deployment, name: str, known: Mapping[str, str]) -> str:
    judged = {
        *(name for name, _ in deployment.all_criteria()),
        *(name for name, _ in deployment.checks()),
    }
    if name in judged:
        return f"{name}: the exporter judges this by itself; see `loom-exporter verify`"
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known) or 'none'}"
    return f"{name}: there is nothing of that name to sign; {hint}"

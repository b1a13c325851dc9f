"""How far the deployment and its first week have come, in words."""

from collections.abc import Iterator
from typing import NamedTuple

from exporter.catalog import Deployment
from exporter.clock import Clock
from exporter.verdict.assess import Assessment
from exporter.verdict.first_week import DayCheck
from exporter.verdict.metrics import PENDING
from exporter.wording import age, moment


class Step(NamedTuple):
    """A phase: `status` is pass when it is applied, pending before, else inconclusive."""

    name: str
    title: str
    status: str
    text: str


class DayRow(NamedTuple):
    """A day of the first week; one without checks has nothing to do, and no status."""

    number: int
    title: str
    checks: tuple[DayCheck, ...]
    status: str
    is_today: bool


def stage(assessment: Assessment) -> str:
    """Return in a sentence or two where the deployment is now."""
    deployed, now = assessment.deployed, assessment.at
    if deployed.has_begun is None:
        return "It is not known whether the deployment has begun."
    if not deployed.has_begun:
        return "The deployment has not begun; there is nothing to judge yet."
    applied = sum(bool(seen.is_applied) for seen in deployed.phases.values())
    told = f"{applied} of {len(deployed.phases)} phases are applied"
    if deployed.is_complete and deployed.ended_at is not None:
        told = f"Deployed {moment(deployed.ended_at)}, {age(now - deployed.ended_at)} ago"
    elif deployed.is_complete:
        told = "Deployed at a time that is not known"
    if deployed.is_warming_up(now) and deployed.settled_at is not None:
        told += (
            f". The database is warming up; speed is judged from {moment(deployed.settled_at)} on"
        )
    return f"{told}."


def steps(deployment: Deployment, assessment: Assessment) -> Iterator[Step]:
    """Yield the phases in the order of deployment."""
    for name, seen in assessment.deployed.phases.items():
        title = deployment.phases[name].title
        if seen.is_applied is None:
            yield Step(name, title, "inconclusive", "it is not known whether it is applied")
        elif seen.is_applied:
            at = moment(seen.at) if seen.at else "before anybody looked"
            yield Step(name, title, "pass", f"applied {at}")
        else:
            yield Step(name, title, PENDING, "not applied")


def days(assessment: Assessment, clock: Clock) -> Iterator[DayRow]:
    """Yield every day from the first to the last that has a check.

    Args:
        assessment: what is known of the week.
        clock: with the length of a day.
    """
    ended_at = assessment.deployed.ended_at if assessment.deployed.is_complete else None
    today = None if ended_at is None else int((assessment.at - ended_at) // clock.day_seconds) + 1
    for number in range(1, max((check.day for check in assessment.week), default=0) + 1):
        checks = tuple(check for check in assessment.week if check.day == number)
        title = checks[0].day_title if checks else "Nothing to do"
        yield DayRow(number, title, checks, _status(checks), number == today)


def _status(checks: tuple[DayCheck, ...]) -> str:
    """Return the worst of the answers, where one that is still to come is worse than no answer."""
    answers = {status_of(check) for check in checks}
    return next((each for each in ("fail", PENDING, "inconclusive", "pass") if each in answers), "")


def status_of(check: DayCheck) -> str:
    """Return the status of a check, as the metrics name it."""
    return check.outcome.value if check.outcome else PENDING

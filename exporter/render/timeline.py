"""Where the deployment and its first week stand, in words."""

from collections.abc import Iterator
from typing import NamedTuple

from exporter.catalog import Deployment
from exporter.render.documents import status_of
from exporter.verdict.assess import Assessment
from exporter.verdict.first_week import HOURS_OF_A_DAY, DayCheck
from exporter.verdict.metrics import PENDING
from exporter.wording import age, moment


class PhaseRow(NamedTuple):
    """A phase: `status` is pass once it is applied, pending before, inconclusive if unknown."""

    name: str
    title: str
    status: str
    text: str


class DayRow(NamedTuple):
    """A day of the first week; `status` is empty on a day without checks."""

    number: int
    status: str
    is_today: bool


def stage(assessment: Assessment) -> str:
    """Return where the deployment stands, in one or two sentences."""
    deployed, now = assessment.deployed, assessment.at
    if deployed.has_begun is None:
        return "The migration history could not be read yet, so the deployment cannot be judged."
    if not deployed.has_begun:
        return "The deployment has not begun yet."
    applied = sum(bool(seen.is_applied) for seen in deployed.phases.values())
    text = f"{applied} of {len(deployed.phases)} phases are applied."
    if deployed.is_complete and deployed.ended_at is not None:
        text = f"Deployed {moment(deployed.ended_at)}, {age(now - deployed.ended_at)} ago."
    elif deployed.is_complete:
        text = "Deployed at an unknown time."
    if deployed.is_warming_up(now) and deployed.settled_at is not None:
        text += f" The database is warming up: speed is judged from {moment(deployed.settled_at)}."
    return text


def phase_rows(deployment: Deployment, assessment: Assessment) -> Iterator[PhaseRow]:
    """Yield the phases in the order of deployment."""
    for name, seen in assessment.deployed.phases.items():
        title = deployment.phases[name].title
        if seen.is_applied is None:
            yield PhaseRow(name, title, "inconclusive", "not known yet")
        elif seen.is_applied:
            at = moment(seen.at) if seen.at else "at an unknown time"
            yield PhaseRow(name, title, "pass", f"applied {at}")
        else:
            yield PhaseRow(name, title, PENDING, "not applied")


def day_rows(assessment: Assessment, hour_seconds: float) -> Iterator[DayRow]:
    """Yield every day from the first to the last that has a check.

    Args:
        assessment: with the answers of the first week.
        hour_seconds: length of an hour; a rehearsal shortens it.
    """
    ended_at = assessment.deployed.ended_at if assessment.deployed.is_complete else None
    day_seconds = HOURS_OF_A_DAY * hour_seconds
    today = None if ended_at is None else int((assessment.at - ended_at) // day_seconds) + 1
    for number in range(1, max((check.day for check in assessment.week), default=0) + 1):
        checks = [check for check in assessment.week if check.day == number]
        yield DayRow(number, _day_status(checks), number == today)


def _day_status(checks: list[DayCheck]) -> str:
    """Return the worst status; a pending check counts as worse than an inconclusive one."""
    statuses = {status_of(check) for check in checks}
    order = ("fail", PENDING, "inconclusive", "pass")
    return next((status for status in order if status in statuses), "")

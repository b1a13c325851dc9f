"""The status page, the report and the verdict: made of what is in memory, off the event loop."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from exporter import __version__
from exporter.catalog import Deployment
from exporter.clock import Clock
from exporter.collect.store import SnapshotStore
from exporter.deployment.records import Outcome
from exporter.learning.lifecycle import BaselineLifecycle
from exporter.redaction import redact
from exporter.render.machine import verify_json
from exporter.render.report import TIMES, page_template, report_html, report_markdown
from exporter.render.text import OUTCOME_MARKS, TITLES, summary
from exporter.verdict.assess import Assessment, Verdict
from exporter.verdict.job import VerdictJob
from exporter.verdict.metrics import PENDING
from exporter.verdict.results import CriterionResult
from exporter.web.activity import queries, samples, slowest
from exporter.web.exposition import KEPT_SECONDS
from exporter.web.headers import page_headers
from exporter.web.numbers import tracked_rows
from exporter.web.progress import days, stage, status_of, steps
from exporter.web.sparkline import HEIGHT, WIDTH
from exporter.wording import age, moment

_FOLDER = files("exporter.web").joinpath("templates")
_STYLE = _FOLDER.joinpath("page.css").read_text(encoding="utf-8")
_SCRIPT = _FOLDER.joinpath("page.js").read_text(encoding="utf-8")

PAGE_HEADERS: Mapping[str, str] = page_headers(_STYLE, _SCRIPT)

_REPORTS = {"html": report_html, "markdown": report_markdown}

_MOST_STATEMENTS = 10

_STATUSES = {
    "pass": (OUTCOME_MARKS[Outcome.PASS], "met"),
    "fail": (OUTCOME_MARKS[Outcome.FAIL], "not met"),
    "inconclusive": (OUTCOME_MARKS[Outcome.INCONCLUSIVE], "open"),
    PENDING: ("○", "to come"),
}
"""Of each status a sign and a word, because a colour alone says nothing to many."""


_TONES = {Verdict.GO: "pass", Verdict.NO_GO: "fail", Verdict.INCONCLUSIVE: "inconclusive"}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is shown."""

    database: str
    deployment: Deployment
    board: SnapshotStore
    judge: VerdictJob
    keeper: BaselineLifecycle
    interval_seconds: Mapping[str, float]
    clock: Clock

    @property
    def is_fresh(self) -> bool:
        """Whether the latest verdict is of now: what is too old says nothing."""
        return time.monotonic() <= self.board[self.judge.name].expires


@dataclass(frozen=True, slots=True)
class _Made:
    body: bytes
    generation: int
    expires: float


class Pages:
    """Renders for those who ask, once for all who ask for the same while nothing changes."""

    def __init__(self, subject: Subject) -> None:
        self._rendering = asyncio.Lock()
        self._template = page_template("exporter.web", "page.html")
        self.show(subject)

    def show(self, subject: Subject) -> None:
        """Show this from now on."""
        self._subject = subject
        self._made: dict[str, _Made] = {}

    async def status(self) -> bytes:
        """Return the status page; before the first verdict it says that there is none."""
        return await self._render("status", lambda subject: self._template.render(_view(subject)))

    async def report(self, form: str) -> bytes | None:
        """Return the report, in one of `report_forms`, or None while there is no verdict of now."""
        return await self._said(f"report {form}", _REPORTS[form])

    async def verdict(self) -> bytes | None:
        """Return the verdict as JSON, or None while there is none of now."""
        return await self._said("verdict", lambda assessment: redact(verify_json(assessment)))

    async def _said(self, name: str, tell: Callable[[Assessment], str]) -> bytes | None:
        assessment = self._subject.judge.assessment
        if assessment is None or not self._subject.is_fresh:
            return None
        return await self._render(name, lambda _: tell(assessment))

    async def _render(self, name: str, make: Callable[[Subject], str]) -> bytes:
        async with self._rendering:  # one at a time, however many ask
            subject, kept = self._subject, self._made
            made, generation = kept.get(name), subject.board.generation
            if made and made.generation == generation and time.monotonic() < made.expires:
                return made.body
            expires = time.monotonic() + KEPT_SECONDS
            body = (await asyncio.to_thread(make, subject)).encode(errors="replace")
            kept[name] = _Made(body, generation, expires)
            return body


def report_forms() -> tuple[str, ...]:
    """Return the forms in which a report can be had, the usual one first."""
    return tuple(_REPORTS)


def _view(subject: Subject) -> dict[str, Any]:
    """Return what the template shows; where there is a verdict, all that it rests on."""
    now, ticks = time.time(), time.monotonic()
    # Taken once: the judge may come to another one while we write.
    board, assessment = subject.board, subject.judge.assessment
    is_judged = assessment is not None and subject.is_fresh
    shown = queries(board, subject.interval_seconds, now, ticks)
    view = {
        "style": Markup(_STYLE),  # noqa: S704 - ours, and its hash is in the policy
        "script": Markup(_SCRIPT),  # noqa: S704 - as above
        "seconds": subject.interval_seconds[subject.judge.name],
        "version": __version__,
        "database": subject.database,
        "title": subject.deployment.title,
        "statuses": _STATUSES,
        "queries": shown,
        "judging": next(row for row in shown if row.name == subject.judge.name),
        "statements": list(slowest(board, ticks))[:_MOST_STATEMENTS],
        "assessment": assessment,
        "is_judged": is_judged,
        "tone": _tone(assessment) if assessment and is_judged else PENDING,
        "moment": moment,
    }
    if assessment is None:
        return view
    return view | {
        "verdict": TITLES[assessment.verdict],
        "judged_ago": age(now - assessment.at),
        "summary": summary(assessment),
        "reasons": _reasons(assessment),
        "stage": stage(assessment),
        "baseline": _baseline(subject, assessment, ticks),
        "steps": list(steps(subject.deployment, assessment)),
        "rows": list(tracked_rows(assessment, subject.judge.trend.points)),
        "times": TIMES,
        "width": WIDTH,
        "height": HEIGHT,
        "days": list(days(assessment, subject.clock)),
        "status_of": status_of,
    }


def _tone(assessment: Assessment) -> str:
    """Return the status as which a verdict is shown; one that is not due is not yet open."""
    if assessment.deployed.has_begun is False:
        return PENDING
    return _TONES[assessment.verdict]


def _reasons(assessment: Assessment) -> list[CriterionResult]:
    """Return what fails or, once all is deployed, what holds up a go."""
    failed = assessment.with_outcome(Outcome.FAIL)
    if failed or not assessment.deployed.is_complete:
        return failed
    return assessment.with_outcome(Outcome.INCONCLUSIVE)


def _baseline(subject: Subject, assessment: Assessment, ticks: float) -> str:
    """Return in a sentence what the deployment is held against."""
    if before := assessment.before:
        return f"Held against {moment(before.began_at)} to {moment(before.ended_at)}."
    if refusal := subject.keeper.status.refusal:
        return f"The baseline is refused: {refusal}"
    collected = samples(subject.board, "loom_baseline_collected_seconds", ticks)
    if collected:
        return f"A baseline is being collected: {age(sum(collected.values()))} so far."
    return "There is no baseline to hold it against."

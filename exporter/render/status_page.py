"""The status page: the verdict, what it rests on, the slowest statements and the queries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

from exporter import __version__
from exporter.baseline.codec import RefusedError
from exporter.catalog import Deployment
from exporter.clock import Clock
from exporter.collect.snapshot import Snapshot
from exporter.deployment.records import Outcome
from exporter.durations import format_duration
from exporter.redaction import redact
from exporter.render.documents import SCRIPT, STATUS_OF_STAGE, STYLE, render, status_of
from exporter.render.sparkline import HEIGHT, WIDTH
from exporter.render.text import summary, title
from exporter.render.tracked import TIMES, tracked_rows
from exporter.statements.slowest import Slow
from exporter.verdict.assess import Assessment, Stage
from exporter.verdict.criteria import CriterionResult
from exporter.verdict.metrics import PENDING
from exporter.verdict.trend import Point
from exporter.wording import age, moment, one_line

_MOST_STATEMENTS = 10


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the status page shows, as it was at one moment."""

    at: float
    """Unix time of that moment."""
    ticks: float
    """The same as `time.monotonic()`."""
    database: str
    is_up: bool | None
    """Whether the database answered when it was last asked; None before that."""
    deployment: Deployment
    clock: Clock
    """Length of an hour; a rehearsal shortens it."""
    interval_seconds: Mapping[str, float]
    """Time between two runs, by query."""
    snapshots: Sequence[Snapshot]
    evaluation: Snapshot
    """The last run of the job that makes the verdict; one of `snapshots`."""
    assessment: Assessment | None
    points: Sequence[Point]
    """History of the tracked numbers."""
    slowest: Sequence[Slow]
    refusal: RefusedError | None
    """Why the baseline is not used, if so."""
    collected_seconds: float | None
    """Time of which a baseline has been collected; None unless it is being collected."""

    @property
    def is_current(self) -> bool:
        """Whether the verdict is recent enough to say something about now."""
        return self.assessment is not None and self.ticks <= self.evaluation.expires


class QueryRow(NamedTuple):
    """A query; `status` is how its state looks: pass, fail, inconclusive or pending."""

    name: str
    state: str
    status: str
    detail: str
    answered: str
    every: str
    series: int


class PhaseRow(NamedTuple):
    """A phase: `status` is pass once it is applied, pending before, inconclusive if unknown."""

    name: str
    title: str
    status: str
    text: str


class StepRow(NamedTuple):
    """A step of the plan: when it is due, its worst status, and whether it is the current one."""

    when: str
    status: str
    is_current: bool


def status_page(overview: Overview, *, is_one_of_several: bool = False) -> str:
    """Return the page as HTML; before the first verdict it says what is missing.

    Links of a page that is one of several name the database.
    """
    queries = _query_rows(overview)
    assessment = overview.assessment
    values: dict[str, object] = {
        "style": STYLE,
        "script": SCRIPT,
        "refresh_seconds": overview.interval_seconds[overview.evaluation.query],
        "version": __version__,
        "overview": overview,
        "tone": tone(overview),
        "of_database": f"database={quote(overview.database, safe='')}" if is_one_of_several else "",
        "queries": queries,
        "evaluation": next(row for row in queries if row.name == overview.evaluation.query),
        "statements": [
            (slow, one_line(redact(slow.text or _without_text(slow))))
            for slow in overview.slowest[:_MOST_STATEMENTS]
        ],
        "assessment": assessment,
    }
    if assessment:
        values |= {
            "verdict": title(assessment),
            "judged_ago": age(overview.at - assessment.at),
            "summary": summary(assessment),
            "reasons": _reasons(assessment),
            "stage": _stage(assessment),
            "baseline": _baseline(overview, assessment),
            "phases": list(_phase_rows(overview.deployment, assessment)),
            "rows": list(tracked_rows(assessment, overview.points)),
            "times": TIMES,
            "width": WIDTH,
            "height": HEIGHT,
            "steps": list(_step_rows(assessment)),
        }
    return render("page.html", **values)


def _without_text(slow: Slow) -> str:
    """Return the name of a statement, why it has no text, and where to find it."""
    return (
        f"statement {slow.labels.statement}. Its text is not shown: LOOM_EXPORTER_STATEMENT_TEXT "
        "is off, or it cannot be freed of literals. pg_stat_statements has it, among the greatest "
        "mean_exec_time."
    )


def _query_rows(overview: Overview) -> list[QueryRow]:
    """Return what is known of each query, failures first."""
    rows = [
        QueryRow(
            snapshot.query,
            snapshot.state or "not run yet",
            _status_of_query(snapshot),
            one_line(redact(snapshot.detail)),
            f"{age(overview.at - snapshot.last_success_at)} ago"
            if snapshot.last_success_at
            else "never",
            format_duration(overview.interval_seconds[snapshot.query]),
            sum(map(len, snapshot.fresh_samples(overview.ticks).values())),
        )
        for snapshot in overview.snapshots
    ]
    order = ("fail", "inconclusive", PENDING, "pass")
    return sorted(rows, key=lambda row: (order.index(row.status), row.name))


def _status_of_query(snapshot: Snapshot) -> str:
    state = snapshot.state
    if state is None or not (state.is_success or state.is_failure):
        return PENDING
    if state.is_success:
        return "pass"
    return "inconclusive" if state.keeps_values else "fail"


def tone(overview: Overview) -> str:
    """Return the status that colours the stage; what is open before the deployment is pending."""
    assessment = overview.assessment
    if assessment is None or not overview.is_current:
        return PENDING
    if assessment.deployed.rolled_back:
        return STATUS_OF_STAGE[Stage(assessment.verdict.value)]
    return STATUS_OF_STAGE[assessment.stage]


def _reasons(assessment: Assessment) -> list[CriterionResult]:
    """Return the criteria that fail or, once all phases are applied, those that prevent a go."""
    if assessment.deployed.has_begun is False:
        return [each for each in assessment.ready if each.outcome is not Outcome.PASS]
    failed = assessment.with_outcome(Outcome.FAIL)
    if failed or not assessment.deployed.is_complete:
        return failed
    return assessment.with_outcome(Outcome.INCONCLUSIVE)


def _stage(assessment: Assessment) -> str:
    """Return where the deployment stands, in one or two sentences."""
    deployed, now = assessment.deployed, assessment.at
    if deployed.has_begun is None:
        return "The migration history could not be read yet, so the deployment cannot be judged."
    if not deployed.has_begun:
        return ""  # the summary says it
    applied = sum(bool(seen.is_applied) for seen in deployed.phases.values())
    text = f"{applied} of {len(deployed.phases)} phases are applied."
    if deployed.is_complete and deployed.ended_at is not None:
        text = f"Deployed {moment(deployed.ended_at)}, {age(now - deployed.ended_at)} ago."
    elif deployed.is_complete:
        text = "Deployed at an unknown time."
    if deployed.is_warming_up(now) and deployed.settled_at is not None:
        text += f" The database is warming up: speed is judged from {moment(deployed.settled_at)}."
    return text


def _phase_rows(deployment: Deployment, assessment: Assessment) -> Iterator[PhaseRow]:
    """Yield the phases in the order of deployment."""
    for name, seen in assessment.deployed.phases.items():
        of = deployment.phases[name].title
        if seen.is_applied is None:
            yield PhaseRow(name, of, "inconclusive", "not known yet")
        elif seen.rolled_back:
            yield PhaseRow(name, of, "fail", f"rolled back {moment(seen.rolled_back.at)}")
        elif seen.is_applied:
            at = moment(seen.at) if seen.at else "at an unknown time"
            yield PhaseRow(name, of, "pass", f"applied {at}")
        else:
            yield PhaseRow(name, of, PENDING, "not applied")


def _step_rows(assessment: Assessment) -> Iterator[StepRow]:
    """Yield the steps of the plan in the order in which they are due."""
    due = [check.when for check in assessment.plan if check.is_due]
    for when in dict.fromkeys(check.when for check in assessment.plan):
        statuses = {status_of(check) for check in assessment.plan if check.when == when}
        # A pending check counts as worse than an inconclusive one.
        order = ("fail", PENDING, "inconclusive", "pass")
        worst = next(status for status in order if status in statuses)
        yield StepRow(when, worst, bool(due) and when == due[-1])


def _baseline(overview: Overview, assessment: Assessment) -> str:
    """Return which baseline the deployment is compared with, as a sentence."""
    if before := assessment.before:
        window = f"{moment(before.began_at)} to {moment(before.ended_at)}"
        return f"Compared with the baseline from {window}."
    if overview.refusal:
        return f"The baseline is refused: {str(overview.refusal).removeprefix('baseline: ')}."
    if overview.collected_seconds is not None:
        return f"A baseline is being collected: {age(overview.collected_seconds)} so far."
    return "There is no baseline, so speed is not compared."

"""The status page: the verdict, what it rests on, the slowest statements and the queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from exporter import __version__
from exporter.baseline.codec import RefusedError
from exporter.catalog import Deployment
from exporter.collect.snapshot import Snapshot
from exporter.durations import format_duration
from exporter.redaction import redact
from exporter.render.documents import SCRIPT, STATUS_OF_VERDICT, STYLE, render
from exporter.render.sparkline import HEIGHT, WIDTH
from exporter.render.text import TITLES, summary
from exporter.render.timeline import day_rows, phase_rows, stage
from exporter.render.tracked import TIMES, tracked_rows
from exporter.statements.slowest import Slow
from exporter.verdict.assess import Assessment
from exporter.verdict.metrics import PENDING
from exporter.verdict.outcome import Outcome
from exporter.verdict.results import CriterionResult
from exporter.verdict.trend import Point
from exporter.wording import age, moment, one_line

_MOST_STATEMENTS = 10


@dataclass(frozen=True, slots=True)
class Status:
    """Everything the status page shows, as it was at one moment."""

    at: float
    """Unix time of that moment."""
    ticks: float
    """The same as `time.monotonic()`."""
    database: str
    deployment: Deployment
    hour_seconds: float
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


def status_page(status: Status) -> str:
    """Return the page as HTML; before the first verdict it says what is missing."""
    queries = _query_rows(status)
    assessment = status.assessment
    values: dict[str, object] = {
        "style": STYLE,
        "script": SCRIPT,
        "refresh_seconds": status.interval_seconds[status.evaluation.query],
        "version": __version__,
        "status": status,
        "tone": _tone(status),
        "queries": queries,
        "evaluation": next(row for row in queries if row.name == status.evaluation.query),
        "statements": [
            (slow, one_line(redact(slow.text or f"statement {slow.place.statement}")))
            for slow in status.slowest[:_MOST_STATEMENTS]
        ],
        "assessment": assessment,
    }
    if assessment:
        values |= {
            "verdict": TITLES[assessment.verdict],
            "judged_ago": age(status.at - assessment.at),
            "summary": summary(assessment),
            "reasons": _reasons(assessment),
            "stage": stage(assessment),
            "baseline": _baseline(status, assessment),
            "phases": list(phase_rows(status.deployment, assessment)),
            "rows": list(tracked_rows(assessment, status.points)),
            "times": TIMES,
            "width": WIDTH,
            "height": HEIGHT,
            "days": list(day_rows(assessment, status.hour_seconds)),
        }
    return render("page.html", **values)


def _query_rows(status: Status) -> list[QueryRow]:
    """Return what is known of each query, failures first."""
    rows = [
        QueryRow(
            snapshot.query,
            snapshot.state or "not run yet",
            _status_of_query(snapshot),
            one_line(redact(snapshot.detail)),
            f"{age(status.at - snapshot.last_success_at)} ago"
            if snapshot.last_success_at
            else "never",
            format_duration(status.interval_seconds[snapshot.query]),
            sum(map(len, snapshot.fresh_samples(status.ticks).values())),
        )
        for snapshot in status.snapshots
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


def _tone(status: Status) -> str:
    """Return the status that colours the verdict; before the deployment nothing is open yet."""
    assessment = status.assessment
    if assessment is None or not status.is_current or assessment.deployed.has_begun is False:
        return PENDING
    return STATUS_OF_VERDICT[assessment.verdict]


def _reasons(assessment: Assessment) -> list[CriterionResult]:
    """Return the criteria that fail or, once all phases are applied, those that prevent a go."""
    failed = assessment.with_outcome(Outcome.FAIL)
    if failed or not assessment.deployed.is_complete:
        return failed
    return assessment.with_outcome(Outcome.INCONCLUSIVE)


def _baseline(status: Status, assessment: Assessment) -> str:
    """Return which baseline the deployment is compared with, as a sentence."""
    if before := assessment.before:
        window = f"{moment(before.began_at)} to {moment(before.ended_at)}"
        return f"Compared with the baseline from {window}."
    if status.refusal:
        return f"The baseline is refused: {str(status.refusal).removeprefix('baseline: ')}."
    if status.collected_seconds is not None:
        return f"A baseline is being collected: {age(status.collected_seconds)} so far."
    return "There is no baseline, so speed is not compared."

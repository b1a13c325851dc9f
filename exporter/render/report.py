"""The report: the checklist filled in, as Markdown and as one HTML page."""

from collections.abc import Callable, Mapping

from exporter.render.documents import STATUS_OF_VERDICT, STYLE, render
from exporter.render.text import TITLES, summary
from exporter.render.tracked import TIMES, tracked_rows
from exporter.verdict.assess import Assessment
from exporter.wording import moment


def report_markdown(assessment: Assessment) -> str:
    """Return the report as GitHub-flavoured Markdown."""
    return _report("report.md", assessment)


def report_html(assessment: Assessment) -> str:
    """Return the report as one HTML page that loads nothing else."""
    return _report(
        "report.html", assessment, style=STYLE, tone=STATUS_OF_VERDICT[assessment.verdict]
    )


REPORTS: Mapping[str, Callable[[Assessment], str]] = {
    "html": report_html,
    "markdown": report_markdown,
}
"""The report by format."""


def _report(template: str, assessment: Assessment, **values: object) -> str:
    return render(
        template,
        assessment=assessment,
        facts=_facts(assessment),
        verdict=TITLES[assessment.verdict],
        summary=summary(assessment),
        rows=list(tracked_rows(assessment)),
        times=TIMES,
        **values,
    )


def _facts(assessment: Assessment) -> list[tuple[str, str]]:
    """Return which database the report is about, and when what happened, by heading."""
    deployed, before = assessment.deployed, assessment.before
    window = f"{moment(before.began_at)} to {moment(before.ended_at)}" if before else "none"
    phases = [
        f"{name} {moment(seen.at) if seen.at else 'at an unknown time'}"
        for name, seen in deployed.phases.items()
        if seen.is_applied
    ]
    return [
        ("Database", assessment.database),
        ("Generated", moment(assessment.at)),
        ("Phases applied", ", ".join(phases) or "none"),
        ("Baseline", window),
    ]

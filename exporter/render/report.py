"""The report: the checklist filled in, as Markdown and as one HTML page; and what to tell."""

from collections.abc import Callable, Iterator, Mapping

from exporter.deployment.records import Outcome
from exporter.render.documents import STATUS_OF_STAGE, STYLE, render
from exporter.render.text import summary, title
from exporter.render.tracked import TIMES, tracked_rows
from exporter.verdict.assess import Assessment
from exporter.wording import listed, moment


def report_markdown(assessment: Assessment) -> str:
    """Return the report as GitHub-flavoured Markdown."""
    return _report("report.md", assessment)


def report_html(assessment: Assessment) -> str:
    """Return the report as one HTML page that loads nothing else."""
    tone = STATUS_OF_STAGE[assessment.stage]
    return _report("report.html", assessment, style=STYLE, tone=tone)


def notification(assessment: Assessment) -> str:
    """Return what the team is told: of a rollback, or of the verdict, as plain text."""
    rolled_back = assessment.deployed.rolled_back
    undone = [each for each in assessment.phases if each.phase in rolled_back]
    concerned = undone or list(assessment.blamed)
    failed = [
        finding.evidence
        for each in assessment.with_outcome(Outcome.FAIL)
        for finding in each.findings
        if finding.outcome is Outcome.FAIL
    ]
    reasons = [
        f"{each.reason} ({each.by}, {moment(each.at)})" if each.by else "nobody has said why yet"
        for each in rolled_back.values()
    ]
    return render(
        "notification.txt",
        assessment=assessment,
        title=title(assessment),
        summary=summary(assessment),
        undone=undone,
        issue=listed(failed) if failed else "; ".join(reasons),
        impact="; ".join(each.impact for each in concerned if each.impact),
        reason="; ".join(reasons) if undone else "",
        next_steps=[step for each in concerned for step in each.next_steps],
    )


REPORTS: Mapping[str, Callable[[Assessment], str]] = {
    "html": report_html,
    "markdown": report_markdown,
    "notification": notification,
}
"""The report by format."""


def _report(template: str, assessment: Assessment, **values: object) -> str:
    return render(
        template,
        assessment=assessment,
        facts=list(_facts(assessment)),
        verdict=title(assessment),
        summary=summary(assessment),
        rows=list(tracked_rows(assessment)),
        times=TIMES,
        **values,
    )


def _facts(assessment: Assessment) -> Iterator[tuple[str, str]]:
    """Yield which database the report is about, and when what happened, by heading."""
    deployed, before = assessment.deployed, assessment.before
    window = f"{moment(before.began_at)} to {moment(before.ended_at)}" if before else "none"
    phases = [
        f"{name} {moment(seen.at) if seen.at else 'at an unknown time'}"
        for name, seen in deployed.phases.items()
        if seen.is_applied
    ]
    yield "Database", assessment.database
    yield "Generated", moment(assessment.at)
    yield "Phases applied", ", ".join(phases) or "none"
    for name, rolled_back in deployed.rolled_back.items():
        who = f" by {rolled_back.by}: {rolled_back.reason}" if rolled_back.by else ""
        yield "Rolled back", f"{name} {moment(rolled_back.at)}{who}"
    yield "Deployed by", assessment.deployed_by or "nobody has said: deploy mark --deployed-by NAME"
    yield "Baseline", window

"""The verdict as text for a person: the first lines say what to do and why."""

from collections.abc import Iterator

from exporter.deployment.records import Outcome
from exporter.verdict.assess import Assessment, Verdict
from exporter.verdict.results import CriterionResult
from exporter.wording import moment

OUTCOME_MARKS = {Outcome.PASS: "✓", Outcome.FAIL: "✗", Outcome.INCONCLUSIVE: "?"}
TITLES = {Verdict.GO: "GO", Verdict.NO_GO: "NO-GO", Verdict.INCONCLUSIVE: "INCONCLUSIVE"}


def verify_text(assessment: Assessment) -> str:
    """Return the verdict, the reasons, the rollback risk, and every criterion with its evidence."""
    return "\n".join([*_head(assessment), "", *_criteria(assessment), ""])


def summary(assessment: Assessment) -> str:
    """Return the reason for the verdict, in one sentence."""
    failed = assessment.with_outcome(Outcome.FAIL)
    if failed:
        return f"{_count(failed)} not met: {', '.join(each.title for each in failed)}."
    open_ = assessment.with_outcome(Outcome.INCONCLUSIVE)
    if open_:
        return f"{_count(open_)} still open: {', '.join(each.title for each in open_)}."
    return "Every criterion is met." if assessment.criteria else "There are no criteria."


def _count(judged: list[CriterionResult]) -> str:
    return "1 criterion is" if len(judged) == 1 else f"{len(judged)} criteria are"


def _head(assessment: Assessment) -> Iterator[str]:
    yield (
        f"{TITLES[assessment.verdict]}: {assessment.title}, database {assessment.database}, "
        f"{moment(assessment.at)}"
    )
    yield summary(assessment)
    for judged in assessment.with_outcome(Outcome.FAIL):
        for finding in judged.findings:
            if finding.outcome is Outcome.FAIL:
                # The words of a sign-off do not name the criterion; those of a metric do.
                of = f"{judged.title}: " if finding.is_signed else ""
                yield f"  {OUTCOME_MARKS[finding.outcome]} {of}{finding.evidence}"
    for blamed in assessment.blamed:
        yield f"Phase {blamed.phase} ({blamed.title}): rollback risk {blamed.risk}. {blamed.advice}"


def _criteria(assessment: Assessment) -> Iterator[str]:
    for judged in assessment.criteria:
        yield f"{OUTCOME_MARKS[judged.outcome]} {judged.title} [{judged.phase}] {judged.name}"
        for finding in judged.worst_first():
            shown = f"  [{finding.selector}]" if finding.selector else ""
            yield f"    {OUTCOME_MARKS[finding.outcome]} {finding.evidence}{shown}"
        if judged.note and judged.outcome is not Outcome.PASS:
            yield f"    {judged.note}"
    signed = [each for each in assessment.sign_offs if each.outcome is not Outcome.INCONCLUSIVE]
    if assessment.sign_offs:
        yield ""
        yield f"Sign-offs given: {len(signed)} of {len(assessment.sign_offs)}"
        for judged in signed:
            yield f"{OUTCOME_MARKS[judged.outcome]} {judged.title}: {judged.findings[0].evidence}"

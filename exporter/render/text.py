"""The verdict as text for a person: the first lines say what to do and why."""

from collections.abc import Iterable, Iterator, Sequence

from exporter.deployment.records import Outcome
from exporter.verdict.assess import Assessment, Stage, Verdict
from exporter.verdict.criteria import CriterionResult
from exporter.wording import moment

OUTCOME_MARKS = {Outcome.PASS: "✓", Outcome.FAIL: "✗", Outcome.INCONCLUSIVE: "?"}
_TITLES = {
    Stage.COLLECTING: "NOT DEPLOYED YET",
    Stage.READY: "READY",
    Stage.NOT_READY: "NOT READY",
    Stage.GO: "GO",
    Stage.NO_GO: "NO-GO",
    Stage.INCONCLUSIVE: "INCONCLUSIVE",
    Stage.ROLLED_BACK: "ROLLED BACK",
}


def title(assessment: Assessment) -> str:
    """Return the stage in capitals; after a rollback also whether something is wrong still."""
    text = _TITLES[assessment.stage]
    if assessment.stage is Stage.ROLLED_BACK and assessment.verdict is Verdict.NO_GO:
        text += ", NO-GO"
    return text


def verify_text(assessment: Assessment) -> str:
    """Return the verdict, the reasons, the rollback risk, and every criterion with its evidence."""
    return "\n".join([*_head(assessment), "", *_criteria(assessment), ""])


def ready_text(assessment: Assessment) -> str:
    """Return whether the deployment may begin, the reasons, and the criteria for that."""
    if not assessment.ready:
        why = "deployment.yaml has no criteria under `ready`"
        if assessment.deployed.has_begun:
            why = "the deployment has begun, so it is judged by loom-exporter verify"
        return "\n".join([*_first_lines(assessment), "", f"Readiness: {why}", ""])
    mark = OUTCOME_MARKS[assessment.readiness]
    lines = [*_first_lines(assessment), f"{mark} {_of_readiness(assessment.ready)}"]
    return "\n".join([*lines, "", *_listed(assessment.ready), ""])


def summary(assessment: Assessment) -> str:
    """Return the reason for the stage, in one or two sentences."""
    if assessment.deployed.has_begun is False:
        return f"The deployment has not begun. {_of_readiness(assessment.ready)}".strip()
    text = " ".join(_rollbacks(assessment))
    return f"{text} {_of_verdict(assessment)}".strip()


def _of_readiness(ready: Sequence[CriterionResult]) -> str:
    open_ = [each for each in ready if each.outcome is Outcome.INCONCLUSIVE]
    failed = [each for each in ready if each.outcome is Outcome.FAIL]
    if failed:
        return f"It must not yet: {_not_met(failed)}"
    if open_:
        return f"Before it does, {_still_open(open_)}"
    return "Everything that must hold before it does." if ready else ""


def _of_verdict(assessment: Assessment) -> str:
    if failed := assessment.with_outcome(Outcome.FAIL):
        return _not_met(failed)
    if open_ := assessment.with_outcome(Outcome.INCONCLUSIVE):
        return _still_open(open_)
    if assessment.deployed.rolled_back:
        return "Every check of the rollback passes." if assessment.rollback else ""
    return "Every criterion is met." if assessment.criteria else "There are no criteria."


def _rollbacks(assessment: Assessment) -> Iterator[str]:
    for phase, rolled_back in assessment.deployed.rolled_back.items():
        who = (
            f"by {rolled_back.by}: {rolled_back.reason}"
            if rolled_back.by
            else (
                f"as is seen; to say why: loom-exporter deploy rolled-back {phase} "
                "--by NAME --reason TEXT"
            )
        )
        yield f"Phase {phase} was rolled back, {moment(rolled_back.at)}, {who}."


def _not_met(failed: Sequence[CriterionResult]) -> str:
    return f"{_count(failed)} not met: {', '.join(each.title for each in failed)}."


def _still_open(open_: Sequence[CriterionResult]) -> str:
    return f"{_count(open_)} still open: {', '.join(each.title for each in open_)}."


def _count(judged: Sequence[CriterionResult]) -> str:
    return "1 criterion is" if len(judged) == 1 else f"{len(judged)} criteria are"


def _first_lines(assessment: Assessment) -> Iterator[str]:
    yield (
        f"{title(assessment)}: {assessment.title}, database {assessment.database}, "
        f"{moment(assessment.at)}"
    )
    yield summary(assessment)


def _head(assessment: Assessment) -> Iterator[str]:
    yield from _first_lines(assessment)
    for judged in assessment.with_outcome(Outcome.FAIL):
        for finding in judged.findings:
            if finding.outcome is Outcome.FAIL:
                # The words of a sign-off do not name the criterion; those of a metric do.
                of = f"{judged.title}: " if finding.is_signed else ""
                yield f"  {OUTCOME_MARKS[finding.outcome]} {of}{finding.evidence}"
    for blamed in assessment.blamed:
        yield f"Phase {blamed.phase} ({blamed.title}): rollback risk {blamed.risk}. {blamed.advice}"


def _criteria(assessment: Assessment) -> Iterator[str]:
    before = assessment.ready if assessment.deployed.has_begun is False else ()
    yield from _listed((*before, *assessment.rollback, *assessment.criteria))
    signed = [each for each in assessment.sign_offs if each.outcome is not Outcome.INCONCLUSIVE]
    if assessment.sign_offs:
        yield ""
        yield f"Sign-offs given: {len(signed)} of {len(assessment.sign_offs)}"
        for judged in signed:
            yield f"{OUTCOME_MARKS[judged.outcome]} {judged.title}: {judged.findings[0].evidence}"


def _listed(results: Iterable[CriterionResult]) -> Iterator[str]:
    for judged in results:
        yield f"{OUTCOME_MARKS[judged.outcome]} {judged.title} [{judged.phase}] {judged.name}"
        for finding in judged.worst_first():
            shown = f"  [{finding.selector}]" if finding.selector else ""
            yield f"    {OUTCOME_MARKS[finding.outcome]} {finding.evidence}{shown}"
        if judged.note and judged.outcome is not Outcome.PASS:
            yield f"    {judged.note}"

"""The verdict as samples."""

from exporter.catalog.own_metrics import one_hot
from exporter.collect.snapshot import Samples
from exporter.verdict.assess import Assessment

PENDING = "pending"
"""The status of a check that has no answer yet."""


def verdict_samples(assessment: Assessment) -> Samples:
    """Return the samples of an assessment: of each status of a thing, 1 for the one that it has."""
    criteria: dict[tuple[str, ...], float] = {}
    for criterion in assessment.criteria:
        name, phase = criterion.name, criterion.phase
        criteria |= one_hot("loom_criterion_status", criterion.outcome, name, phase)
    checks: dict[tuple[str, ...], float] = {}
    for check in assessment.week:
        status = check.outcome or PENDING
        checks |= one_hot("loom_daily_check_status", status, str(check.day), check.name)
    return {
        "loom_criterion_status": criteria,
        "loom_deployment_verdict": one_hot("loom_deployment_verdict", assessment.verdict),
        "loom_daily_check_status": checks,
        "loom_tracked": {
            (row.title,): row.after for row in assessment.tracked if row.after is not None
        },
        "loom_tracked_baseline": {
            (row.title,): row.before for row in assessment.tracked if row.before is not None
        },
    }

"""The verdict as samples."""

from exporter.catalog import Deployment
from exporter.catalog.deployment import OTHER
from exporter.catalog.own_metrics import one_hot
from exporter.collect.snapshot import Samples
from exporter.deployment.sign_offs import SignOffs, current
from exporter.verdict.assess import Assessment

PENDING = "pending"
"""The status of a check that has no answer yet."""


def verdict_samples(assessment: Assessment) -> Samples:
    """Return the samples of an assessment: of each status of a thing, 1 for the one that it has."""
    criteria: dict[tuple[str, ...], float] = {}
    for criterion in assessment.criteria:
        name, phase = criterion.name, criterion.phase
        criteria |= one_hot("loom_criterion_status", criterion.outcome, name, phase)
    for criterion in (*assessment.ready, *assessment.rollback):
        name, phase = criterion.name, criterion.phase
        criteria |= one_hot("loom_criterion_status", criterion.outcome, name, phase)
    checks: dict[tuple[str, ...], float] = {}
    for check in assessment.plan:
        status = check.outcome or PENDING
        checks |= one_hot("loom_daily_check_status", status, str(check.day), check.name)
    words: dict[tuple[str, ...], float] = {}
    said_at: dict[tuple[str, ...], float] = {}
    for name, given in assessment.words.items():
        words |= one_hot("loom_sign_off_status", _said(given), name)
        if given:
            said_at[name,] = given[-1].at
    answered: dict[tuple[str, ...], float] = {
        (str(check.day), check.name): check.at
        for check in assessment.plan
        if check.outcome and check.at is not None
    }
    return {
        "loom_deployment_stage": one_hot("loom_deployment_stage", assessment.stage),
        "loom_sign_off_status": words,
        "loom_sign_off_timestamp_seconds": said_at,
        "loom_daily_check_answered_timestamp_seconds": answered,
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


def _said(given: SignOffs) -> str:
    if not given:
        return "missing"
    return "approved" if all(word.approved for word in current(given)) else "rejected"


def pack_samples(deployment: Deployment) -> Samples:
    """Return what deployment.yaml says of classes, phases and criteria, as info metrics."""
    return {
        "loom_class_info": {
            (name, deployment.phase_of(name), severity): 1.0
            for name, severity in {
                **{name: each.severity for name, each in deployment.classes.items()},
                OTHER: "warning",
            }.items()
        },
        "loom_phase_info": {
            (name, phase.title, phase.rollback.risk, phase.rollback.advice): 1.0
            for name, phase in deployment.phases.items()
        },
        "loom_criterion_info": {
            (
                name,
                each.phase,
                each.title,
                each.alert.severity,
                each.alert.after,
                each.alert.runbook or "",
            ): 1.0
            for name, each in deployment.all_criteria()
        },
        "loom_daily_check_info": {(name, check.title): 1.0 for name, check in deployment.checks()},
    }

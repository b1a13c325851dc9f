"""The verdict as samples."""

from exporter.catalog import Deployment
from exporter.catalog.deployment import OTHER
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
    }


def pack_samples(deployment: Deployment) -> Samples:
    """Return what deployment.yaml says of classes, phases and criteria, as info metrics."""
    return {
        "loom_class_info": {
            (name, deployment.phase_of(name)): 1.0 for name in (*deployment.classes, OTHER)
        },
        "loom_phase_info": {
            (name, phase.title, phase.rollback.risk, phase.rollback.advice): 1.0
            for name, phase in deployment.phases.items()
        },
        "loom_criterion_info": {
            (name, each.phase, each.title, each.alert.severity, each.alert.runbook or ""): 1.0
            for name, each in deployment.criteria.items()
        },
    }

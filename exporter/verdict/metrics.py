"""The metrics of the verdict, and their samples."""

from collections.abc import Mapping

from exporter.catalog import Metric
from exporter.collect.snapshot import Samples
from exporter.deployment.records import Outcome
from exporter.verdict.assess import Assessment, Verdict

PENDING = "pending"
"""The status of a check that has no answer yet."""


def _gauge(text: str, *labels: str) -> Metric:
    return Metric(type="gauge", help=text, labels=labels, value="value")


METRICS: Mapping[str, Metric] = {
    "loom_criterion_status": _gauge(
        "Whether the criterion has this status: pass, fail or inconclusive; one of them is 1.",
        "criterion",
        "phase",
        "status",
    ),
    "loom_deployment_verdict": _gauge(
        "Whether this is the verdict on the deployment: go, no_go or inconclusive; one of them "
        "is 1.",
        "verdict",
    ),
    "loom_daily_check_status": _gauge(
        "Whether the check of the first week has this status: pass, fail, inconclusive (its day "
        "ended without an answer) or pending; one of them is 1.",
        "day",
        "check",
        "status",
    ),
}


def verdict_samples(assessment: Assessment) -> Samples:
    """Return the samples of an assessment: each status of each thing, 1 for the one it has."""
    criteria: Mapping[tuple[str, ...], float] = {
        (each.name, each.phase, status.value): float(each.outcome is status)
        for each in assessment.criteria
        for status in Outcome
    }
    checks: Mapping[tuple[str, ...], float] = {
        (str(each.day), each.name, status): float((each.outcome or PENDING) == status)
        for each in assessment.week
        for status in (*(outcome.value for outcome in Outcome), PENDING)
    }
    return {
        "loom_criterion_status": criteria,
        "loom_deployment_verdict": {
            (verdict.value,): float(assessment.verdict is verdict) for verdict in Verdict
        },
        "loom_daily_check_status": checks,
    }

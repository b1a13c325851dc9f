"""What a pack says of its classes, phases and criteria, as info metrics that rules join on."""

from collections.abc import Mapping

from exporter.catalog.criteria import ALL
from exporter.catalog.deployment import OTHER, Deployment

InfoSamples = Mapping[str, Mapping[tuple[str, ...], float]]
"""By name of the metric and values of its labels; each is 1."""


def pack_info(deployment: Deployment) -> InfoSamples:
    """Return the samples of the own metrics in section `pack`."""
    phases, severities = class_phases(deployment), class_severities(deployment)
    return {
        "loom_class_info": {(name, phases[name], severities[name]): 1.0 for name in phases},
        "loom_phase_info": {
            (name, phase.title, phase.rollback.risk, phase.rollback.advice): 1.0
            for name, phase in deployment.phases.items()
        },
        "loom_criterion_info": {
            (
                name,
                criterion.phase,
                criterion.title,
                criterion.alert.severity,
                criterion.alert.after,
                criterion.alert.runbook or "",
            ): 1.0
            for name, criterion in deployment.criteria.items()
        },
    }


def class_phases(deployment: Deployment) -> dict[str, str]:
    """Return the phase that is to blame for each class: that of the first condition on it."""
    phases = dict.fromkeys([*deployment.classes, OTHER], ALL)
    conditions = [
        (condition.class_name, condition.phase or criterion.phase)
        for criterion in deployment.criteria.values()
        for condition in criterion.conditions
        if condition.class_name
    ]
    return {**phases, **dict(reversed(conditions))}


def class_severities(deployment: Deployment) -> dict[str, str]:
    """Return how urgent it is when a class becomes slow; what no class claims opens a ticket."""
    return {
        **{name: rules.severity for name, rules in deployment.classes.items()},
        OTHER: "warning",
    }

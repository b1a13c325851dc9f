"""The numbers by which deployment.yaml judges, so that no dashboard has others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.catalog import Deployment
    from exporter.catalog.condition import Condition


def condition_on(deployment: Deployment, metric: str) -> Condition:
    """Return the first condition on the metric.

    Raises:
        LookupError: there is none, so nothing says what would be bad.
    """
    for _, condition in deployment.conditions():
        if condition.metric == metric:
            return condition
    raise LookupError(f"deployment.yaml: no condition on {metric}, which a dashboard judges by it")

"""By what a phase is seen to be applied, and the phases that nothing could ever show."""

from collections.abc import Iterable, Iterator

from exporter.catalog.deployment import Deployment
from exporter.catalog.expected import Migration
from exporter.catalog.header import QueryMetric
from exporter.yaml_source import KeyPath

HISTORY_QUERY = "migrations"
"""The name of the query that reads the history, whatever keeps it."""

OBJECTS_QUERY = "deployment_objects"

APPLIED = "loom_migration_applied"
"""The metric, with a label `version`, by which a migration is known to be applied."""


def with_seen_phases(deployment: Deployment) -> Deployment:
    """Return the deployment whose phases have the migrations by which its history shows them.

    Objects are the history of `probe`, with the phase as the version; `none` shows no migration.
    """
    kind = deployment.history.kind if deployment.history else None
    if kind not in ("probe", "none"):
        return deployment
    phases = {
        name: phase.model_copy(
            update={
                "migrations": (
                    (Migration(version=name, name=phase.title),) if kind == "probe" else ()
                )
            }
        )
        for name, phase in deployment.phases.items()
    }
    return deployment.model_copy(update={"phases": phases})


def unseen_phases(
    deployment: Deployment, applied: Iterable[QueryMetric]
) -> Iterator[tuple[KeyPath, str]]:
    """Yield where and why a phase could never be seen to be applied.

    Args:
        deployment: what deployment.yaml says.
        applied: `APPLIED` as each query has it that feeds it.
    """
    kind = deployment.history.kind if deployment.history else None
    metrics = list(applied)
    if wrong := [each for each in metrics if "version" not in each.labels or each.type != "gauge"]:
        has = ", ".join(wrong[0].labels) or "none"
        yield (
            ("phases",),
            f"no phase can be seen: {APPLIED} must be a gauge with a label version; it has {has}",
        )
        return
    for name, phase in deployment.phases.items():
        place: KeyPath = ("phases", name)
        if kind == "probe" and not phase.objects:
            yield (
                (*place, "objects"),
                "with `history: {kind: probe}` a phase is applied when its objects are there; "
                "name some",
            )
        elif phase.migrations and not metrics:
            yield (
                place,
                "nothing can show that it is applied; say what keeps the history, such as "
                f"`history: {{kind: django}}`, or feed {APPLIED} with a label version from a query",
            )
        elif not phase.migrations and kind is None:  # else a mark of the phase shows it
            yield (
                (*place, "migrations"),
                "nothing can show that it is applied; name its migrations, or, if people say so "
                "(`loom-exporter deploy mark`), write `history: {kind: none}`",
            )

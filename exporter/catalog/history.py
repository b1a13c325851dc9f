"""The shipped queries that read a history of migrations, and what nothing could ever show."""

from collections.abc import Iterable, Iterator

from exporter.catalog.deployment import Deployment
from exporter.catalog.header import QueryMetric
from exporter.catalog.query import Query, parse_query
from exporter.settings import packaged
from exporter.yaml_source import KeyPath, read_text

HISTORY_QUERY = "migrations"
"""The name of the query that reads the history, whatever keeps it."""

OBJECTS_QUERY = "deployment_objects"

APPLIED = "loom_migration_applied"
"""The metric, with a label `version`, by which a migration is known to be applied."""


def history_queries(deployment: Deployment) -> list[Query]:
    """Return the shipped query of the history that deployment.yaml names; none, if it names none.

    Its placeholder for the schema of the history's table is `public`.
    """
    history = deployment.history
    if history is None or history.kind == "none":
        return []
    folder = packaged("queries")
    path = folder / "standard" / "history" / f"{history.kind}.sql"
    if history.kind == "supabase":
        path = folder / f"{HISTORY_QUERY}.sql"
    text = read_text(path)
    if history.kind == "probe":
        file = folder / f"{OBJECTS_QUERY}.sql"
        objects = parse_query(file, read_text(file)).text.strip()
        text = text.replace(f"SELECT * FROM {OBJECTS_QUERY}", objects)
    if history.schema_name:
        text = text.replace("public.", f"{history.schema_name}.")
    return [parse_query(path, text, HISTORY_QUERY)]


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
